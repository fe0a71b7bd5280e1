import { Decimal, parseJson, readNumber, writeJson } from '@noetl/core'
import t from 'tap'
import { roughBytes } from '../../../core/schemas/rough-bytes.ts'

t.test('parseJson: a whole number beyond 2^53 comes with all its digits', async (t) => {
  t.same(parseJson('{"id": 12345678901234567890, "deep": [-9007199254740993, 9007199254740991]}'), {
    id: 12345678901234567890n,
    deep: [-9007199254740993n, 9007199254740991],
  })
})

t.test('parseJson: whole floats, exponents and digits inside text stay what they are', async (t) => {
  const text = '[0.1234567890123456, 1e300, 1e18, 1000000000000000000.0, "12345678901234567890", 1.50, null]'
  t.same(parseJson(text), [0.1234567890123456, 1e300, 1e18, 1e18, '12345678901234567890', 1.5, null])
})

t.test('parseJson: a number that no double says exactly keeps its digits', async (t) => {
  for (const text of [
    '12345678901234567890.5',
    '0.1234567890123456789',
    '52.520006599999998',
    '-5.0000000000000000001',
    '1.2345678901234567891e-7',
    '1.00000000000000000001e300',
  ]) {
    const value = parseJson(text)
    t.ok(value instanceof Decimal, text)
    t.equal(writeJson([value]), `[${text}]`)
    t.equal(String(value), text)
    t.equal(Number(value), Number(text))
  }
})

t.test('parseJson: numbers beyond what is carried are their text, and take no time', async (t) => {
  const huge = '7'.repeat(1_000_000)
  const begun = performance.now()
  t.same(parseJson(`[1, ${huge}, 0.${huge}]`), [1, huge, `0.${huge}`])
  t.ok(performance.now() - begun < 2000)
  t.same(parseJson('[1e400, -1e400, 1e-400, 1e999999999999]'), [
    '1e400',
    '-1e400',
    '1e-400',
    '1e999999999999',
  ])
  t.equal(parseJson('9'.repeat(1000)), BigInt('9'.repeat(1000)))
  t.equal(parseJson('9'.repeat(1001)), '9'.repeat(1001))
})

t.test('parseJson: broken JSON throws', async (t) => {
  t.throws(() => parseJson('{"id": 12345678901234567890'), SyntaxError)
})

t.test(
  'writeJson: every number is a number of JSON, and a whole float is told from a whole number',
  async (t) => {
    const value = [
      1e18,
      -1e300,
      2n ** 60n + 1n,
      new Decimal('0.1234567890123456789'),
      1.5,
      9007199254740991,
      'x',
    ]
    const text = writeJson(value)
    t.equal(
      text,
      `[1000000000000000000.0,-1${'0'.repeat(300)}.0,1152921504606846977,0.1234567890123456789,1.5,9007199254740991,"x"]`,
    )
    t.same(parseJson(text), value)
    t.equal(writeJson({ a: 1e21 }, 2), '{\n  "a": 1000000000000000000000.0\n}')
    t.equal(writeJson(undefined), undefined)
  },
)

t.test('JSON.stringify: it writes exact numbers too, so that no place can forget it', async (t) => {
  t.equal(
    JSON.stringify({ id: 2n ** 64n, n: new Decimal('1.00000000000000000001') }),
    '{"id":18446744073709551616,"n":1.00000000000000000001}',
  )
})

t.test('readNumber: it reads what databases write, and leaves what is no number', async (t) => {
  for (const [text, value] of [
    ['12345678901234567890.123456789', new Decimal('12345678901234567890.123456789')],
    ['-0.5', -0.5],
    ['.5', 0.5],
    ['+3', 3],
    ['1000000000000000000.00', 1e18],
    ['1e+18', 1e18],
    ['9007199254740993', 9007199254740993n],
    ['+9007199254740993', 9007199254740993n],
    ['007.00000000000000000001', new Decimal('7.00000000000000000001')],
    ['.12345678901234567891', new Decimal('0.12345678901234567891')],
    ['NaN', 'NaN'],
    ['Infinity', 'Infinity'],
    ['', ''],
    ['.', '.'],
    ['0x10', '0x10'],
    ['1 2', '1 2'],
  ] as const) {
    t.same(readNumber(text), value, text)
  }
})

t.test('roughBytes: the digits of a long number count', async (t) => {
  t.equal(roughBytes(10n ** 500n), 501)
  t.equal(roughBytes([new Decimal(`0.${'7'.repeat(400)}`)]), 405)
})
