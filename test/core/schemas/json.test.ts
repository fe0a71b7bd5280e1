import { parseJson } from '@noetl/core'
import t from 'tap'

t.test('parseJson: integers that a number cannot hold exactly come as text', async (t) => {
  t.same(parseJson('{"id": 12345678901234567890, "deep": [-9007199254740993, 9007199254740991]}'), {
    id: '12345678901234567890',
    deep: ['-9007199254740993', 9007199254740991],
  })
})

t.test('parseJson: long fractions, exponents and digits inside text are left alone', async (t) => {
  t.same(parseJson('[0.1234567890123456, 1e300, "12345678901234567890", null]'), [
    0.1234567890123456,
    1e300,
    '12345678901234567890',
    null,
  ])
})

t.test('parseJson: broken JSON throws', async (t) => {
  t.throws(() => parseJson('{"id": 12345678901234567890'), SyntaxError)
})
