import t from 'tap'
import { Decimal, type Json, parseJson } from '../../../core/index.ts'
import { compileCondition, compileTemplate, type Scope } from '../../../core/template/template.ts'

const NAMES = parseJson(`{
  "id": 12345678901234567890, "price": 12345678901234567890.123456789, "small": 0.1234567890123456789,
  "text": "12345678901234567890.123456789", "float": 1e18, "n": 3,
  "rows": [{"id": 12345678901234567891, "p": 2.00000000000000000002}, {"id": 12345678901234567890, "p": 2.00000000000000000001}]
}`) as Record<string, Json>
const scope: Scope = { lookup: (name) => NAMES[name] }
const d = (text: string) => new Decimal(text)

const CASES: [template: string, gives: unknown][] = [
  ['{{ id }}', 12345678901234567890n],
  ['{{ id + 1 }}', 12345678901234567891n],
  ['{{ 1 + id }}', 12345678901234567891n],
  ['{{ id - id + 5 }}', 5],
  ['{{ -id }}', -12345678901234567890n],
  ['{{ id // 10 }}', 1234567890123456789n],
  ['{{ id % 7 }}', Number(12345678901234567890n % 7n)],
  ['id={{ id }}', 'id=12345678901234567890'],
  ['{{ [id, price] }}', [12345678901234567890n, d('12345678901234567890.123456789')]],
  ["{{ {'a': id}.a + 1 }}", 12345678901234567891n],
  ['{{ [id] | tojson }}', '[12345678901234567890]'],
  ['{{ {"p": price} | tojson }}', '{"p":12345678901234567890.123456789}'],
  ['{{ float | tojson }}', '1000000000000000000.0'],
  ['{{ ([price] | tojson | fromjson)[0] == price }}', true],
  ['{{ price }}', d('12345678901234567890.123456789')],
  ['<{{ price }}>', '<12345678901234567890.123456789>'],
  ['{{ price + 1 }}', d('12345678901234567891.123456789')],
  ['{{ price - id }}', 0.123456789],
  ['{{ small * 2 }}', d('0.2469135780246913578')],
  ['{{ small * 10000000000000000000 }}', 1234567890123456789n],
  ['{{ price // 1 }}', 12345678901234567890n],
  ['{{ price % 1 }}', 0.123456789],
  ['{{ -price // 1 }}', -12345678901234567891n],
  ['{{ 0.1234567890123456789 }}', d('0.1234567890123456789')],
  ['{{ -price }}', d('-12345678901234567890.123456789')],
  ['{{ price | abs }}', d('12345678901234567890.123456789')],
  ['{{ price | round(2) }}', d('12345678901234567890.12')],
  ['{{ price | round }}', 12345678901234567890n],
  ["{{ price | round(0, 'ceil') }}", 12345678901234567891n],
  ['{{ price | int }}', 12345678901234567890n],
  ['{{ text | int }}', 12345678901234567890n],
  ['{{ float | int }}', 1000000000000000000n],
  ["{{ '1e18' | int + 1 }}", 1000000000000000001n],
  ['{{ float + 1 }}', 1e18],
  ['{{ text | float }}', d('12345678901234567890.123456789')],
  ['{{ price | float }}', d('12345678901234567890.123456789')],
  ['{{ "12345678901234567890" | float }}', 12345678901234567890n],
  ['{{ id | float }}', 12345678901234567890n],
  ['{{ price | string }}', '12345678901234567890.123456789'],
  ["{{ '%.2f' % price }}", '12345678901234567890.12'],
  ["{{ '%d' % price }}", '12345678901234567890'],
  ["{{ '%.1f' % id }}", '12345678901234567890.0'],
  ["{{ '{:.3f}'.format(price) }}", '12345678901234567890.123'],
  ["{{ '{:,}'.format(id) }}", '12,345,678,901,234,567,890'],
  ["{{ rows | sum('id') }}", 24691357802469135781n],
  [
    "{{ rows | sort(attribute='p') | map(attribute='id') | list }}",
    [12345678901234567890n, 12345678901234567891n],
  ],
  ["{{ rows | map(attribute='id') | min }}", 12345678901234567890n],
  ["{{ (rows | selectattr('id', '==', 12345678901234567890) | list) | length }}", 1],
  ['{{ [id, id, price, price] | unique | list | length }}', 2],
  ['{{ id is number }}', true],
  ['{{ id is integer }}', true],
  ['{{ id is even }}', true],
  ['{{ price is number }}', true],
  ['{{ price is float }}', true],
  ['{{ price is mapping }}', false],
  ['{{ price is iterable }}', false],
  ['{{ price.text is defined }}', false],
  ['{{ "yes" if price else "no" }}', 'yes'],
  ["{{ {'12345678901234567890': 'found'}[id] }}", 'found'],
  ["{{ id in {'12345678901234567890': 1} }}", true],
  ['{{ [[id], [n]] | map("first") | list }}', [12345678901234567890n, 3]],
  ["{{ (rows | groupby('id'))[0][0] }}", 12345678901234567890n],
  ['{{ (rows | batch(1) | list)[0][0].p }}', d('2.00000000000000000002')],
]
for (const [template, gives] of CASES) {
  t.test(`numbers in templates: ${template}`, async (t) =>
    t.strictSame(compileTemplate(template).render(scope), gives),
  )
}

const TRUE = [
  'id == 12345678901234567890',
  'id != 12345678901234567891',
  'id < 12345678901234567891',
  'id > 3',
  'price > id',
  'price < id + 1',
  'price == 12345678901234567890.123456789',
  'price != 12345678901234567890.12345678',
  'price in [1, 12345678901234567890.123456789]',
  'small < 0.123456789012345679',
  'float == 1000000000000000000',
  'price == price',
  '[price] == [price]',
]
for (const condition of TRUE) {
  t.test(`numbers in conditions: ${condition}`, async (t) => {
    t.equal(compileCondition(`{{ ${condition} }}`).test(scope), true)
    t.equal(compileCondition(condition).test(scope), true)
    t.equal(compileCondition(`not (${condition})`).test(scope), false)
  })
}

const REFUSED: [string, RegExp][] = [
  ['{{ id ** 1000 }}', /too large/],
  ['{{ 10 ** 100000000 }}', /too large/],
  ['{{ (10 ** 1000) * (10 ** 1000) }}', /too large/],
  ['{{ range(id) }}', /whole numbers|range/],
  ['{{ "x" * id }}', /makes no sense|longer than/],
  ['{{ price | length }}', /has no length/],
  ['{% for x in price %}{% endfor %}', /no elements/],
  ['{{ price | first }}', /is no list/],
  ['{{ price | items }}', /is no object/],
  ['{{ price < "1" }}', /a number cannot be compared/],
]
for (const [template, message] of REFUSED) {
  t.test(`numbers in templates: ${template.slice(0, 60)} is refused`, async (t) =>
    t.throws(() => compileTemplate(template).render(scope), { message }),
  )
}

t.test('numbers in templates: multiplying a Decimal again and again ends with a refusal', async (t) => {
  const product = Array(200).fill('0.12345678901234567891').join(' * ')
  t.throws(() => compileTemplate(`{{ ${product} }}`).render(scope), { message: /too large|too many digits/ })
})
