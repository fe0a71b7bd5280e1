import t from 'tap'
import type { Json } from '../../../core/schemas/json.ts'
import { compileTemplate, StepResult } from '../../../core/template/template.ts'
import { scopeOf } from './scope-of.ts'

const values = {
  execution_id: '478775660589088776',
  count: 3,
  zero: 0,
  price: 2.5,
  name: 'Ada',
  empty: '',
  yes: true,
  no: false,
  nothing: null,
  rows: [
    { id: 1, name: 'x', tags: ['a', 'b'] },
    { id: 2, name: 'y', tags: [] },
    { id: 3, name: 'z', tags: ['c'], deep: { n: null } },
  ],
  numbers: [3, 1, 2],
  none_at_all: [],
  blank: {},
  quote: "it's <b>",
  'odd key': 'unreachable by name',
  order: { zebra: 1, apple: 2, mango: { z: 1, a: 2 } },
  start: new StepResult({ items: [1, 2], keys: 'k', values: 0, 'content-length': 12, rows: [{ c: 1 }] }),
  fetched: new StepResult({ status: 'ok', data: { id: 7 } }),
  voided: new StepResult({ data: null, x: 1 }),
  listed: new StepResult([10, 20]),
  scalar: new StepResult(5),
  absent: new StepResult(null),
  steps: { start: new StepResult({ n: 1 }), other: new StepResult([1]) },
  output: { status: 'error', error: { kind: 'timeout', retryable: true }, http: {}, data: null },
  ctx: { counter: 0, key: 'id', index: 1 },
  iter: { index: 4, item: { id: 9 } },
  now: '2026-01-02T03:04:05.000Z',
}

const rows: Record<string, [template: Json, expected: Json][]> = {
  'rule 1, one expression keeps its type': [
    ['{{ count }}', 3],
    ['{{count}}', 3],
    ['{{- count -}}', 3],
    ['{{ count }}\n', 3],
    ['{{ price }}', 2.5],
    ['{{ yes }}', true],
    ['{{ nothing }}', null],
    ['{{ rows[0] }}', { id: 1, name: 'x', tags: ['a', 'b'] }],
    ['{{ numbers }}', [3, 1, 2]],
    ['{{ none_at_all }}', []],
    ['{{ blank }}', {}],
    ['{{ start._ref is defined }}', false],
    ['{{ ctx.counter }}', 0],
    ['{{ rows | length }}', 3],
    ['{{ ctx.counter + 1 }}', 1],
    ['{{ [count, name, missing] }}', [3, 'Ada', null]],
    ["{{ {'a': count, 'b': {'c': rows[0].id}} }}", { a: 3, b: { c: 1 } }],
    ['{{ (1, 2) }}', [1, 2]],
    ['{{ 1, 2 }}', [1, 2]],
    ['{# note #}{{ count }}', 3],
    [
      { a: '{{ count }}', b: ['{{ name }}!', 1, null], '{{ key }}': true },
      { a: 3, b: ['Ada!', 1, null], '{{ key }}': true },
    ],
    [{ untouched: [1, 'x'] }, { untouched: [1, 'x'] }],
    [5, 5],
    [null, null],
  ],
  'rule 2, text prints values on one line': [
    ['n={{ count }}', 'n=3'],
    [' {{ count }}', ' 3'],
    ['{{ count }}{{ zero }}', '30'],
    ['{{ yes }}/{{ no }}', 'true/false'],
    ['[{{ nothing }}{{ missing }}{{ a.b.c }}]', '[]'],
    ['x {{ numbers }}', 'x [3,1,2]'],
    ['x {{ order }}', 'x {"zebra":1,"apple":2,"mango":{"z":1,"a":2}}'],
    ['{{ price * 2 }} and {{ 7 / 2 }}', '5 and 3.5'],
    ['id {{ execution_id }}', 'id 478775660589088776'],
    ['# {{ fetched }}\nx = 1\n', '# {"status":"ok","data":{"id":7}}\nx = 1\n'],
    ["{% raw %}{{ name }}{% endraw %} {{ '{{' }}", '{{ name }} {{'],
    ['a {#- gone -#} b', 'ab'],
    ['plain text, }} and %} too', 'plain text, }} and %} too'],
  ],
  'rule 3, nothing is guessed afterwards': [
    ['{{ execution_id }}', '478775660589088776'],
    ["{{ '42' }}", '42'],
    ["{{ 'true' }}", 'true'],
    ["{{ '[1]' }}", '[1]'],
    ["{{ '' }}", ''],
    ['{{ execution_id | int }}', 478775660589088776n],
    ['{{ (execution_id | int) + 1 }}', 478775660589088777n],
    ['{{ 9007199254740993 }}', 9007199254740993n],
    ['{{ 9007199254740991 + 2 }}', 9007199254740993n],
    ['{{ 9007199254740993 - 2 }}', 9007199254740991],
  ],
  'rule 4, undefined is chainable': [
    ['{{ missing }}', null],
    ['{{ a.b.c }}', null],
    ["{{ a['b'][0].c }}", null],
    ['{{ nothing.x.y }}', null],
    ['{{ a.b is defined }}', false],
    ['{{ a.b is not defined }}', true],
    ['{{ rows[9].id is defined }}', false],
    ['{{ nothing is defined }}', true],
    ['{{ count.x is defined }}', false],
    ['{{ not missing }}', true],
    ['{{ missing == 1 }}', false],
    ['{{ missing == none }}', false],
    ['{{ missing != 1 }}', true],
    ['{{ missing == other_missing }}', false],
    ['{{ missing > 1 or missing < 1 or missing >= none }}', false],
    ['{{ missing in [1] }}', false],
    ['{{ 1 in missing }}', false],
    ['{{ missing | default(5) }}', 5],
    ['{{ a.b.c | default([]) }}', []],
    ['{{ missing | default }}', ''],
    ['{{ missing.get("x") }}', null],
    ["{{ missing.get('x', 4) }}", 4],
    ['{{ error.status if error is defined else 0 }}', 0],
  ],
  'rule 5, keys come first': [
    ['{{ start.items }}', [1, 2]],
    ['{{ start.keys }}', 'k'],
    ['{{ start.values }}', 0],
    ["{{ start['content-length'] }}", 12],
    ["{{ order['mango'].z }}", 1],
    ['{{ rows.1.name }}', 'y'],
    ['{{ rows[-1].id }}', 3],
    ["{{ rows[0]['tags'][1] }}", 'b'],
    ['{{ rows[ctx.index].id }}', 2],
    ['{{ rows[0][ctx.key] }}', 1],
    ['{{ name[0] }}', 'A'],
    ['{{ numbers[0:2] }}', [3, 1]],
    ['{{ numbers[::-1] }}', [2, 1, 3]],
    ['{{ name[1:] }}', 'da'],
    ['{{ (rows | first).name }}', 'x'],
  ],
  'rule 6, null stays null': [
    ['{{ nothing is none }}', true],
    ['{{ missing is none }}', false],
    ['{{ nothing == none }}', true],
    ['{{ nothing == None }}', true],
    ['{{ nothing != none }}', false],
    ['{{ nothing | default(5) }}', null],
    ['{{ nothing | default(5, true) }}', 5],
    ['{{ rows[2].deep.n is none }}', true],
    ['{{ rows[2].deep.n is defined }}', true],
  ],
  'rule 7, tojson is JSON': [
    ['{{ order | tojson }}', '{"zebra":1,"apple":2,"mango":{"z":1,"a":2}}'],
    ['{{ quote | tojson }}', `"it's <b>"`],
    [`'{{ quote | tojson | replace("'", "''") }}'::jsonb`, `'"it''s <b>"'::jsonb`],
    ['$${{ rows[0] | tojson }}$$::jsonb', '$${"id":1,"name":"x","tags":["a","b"]}$$::jsonb'],
    ['{{ start | tojson }}', '{"items":[1,2],"keys":"k","values":0,"content-length":12,"rows":[{"c":1}]}'],
    ['{{ missing | tojson }}', 'null'],
    ['{{ steps | tojson }}', '{"start":{"n":1},"other":[1]}'],
  ],
  '4.3, a result has aliases on access': [
    ['{{ start.data.items }}', [1, 2]],
    ['{{ start.result.keys }}', 'k'],
    ['{{ start.response.rows[0].c }}', 1],
    ['{{ fetched.data }}', { id: 7 }],
    ['{{ fetched.result.data.id }}', 7],
    ['{{ voided.data }}', null],
    ['{{ listed.data }}', [10, 20]],
    ['{{ listed.data[1] }}', 20],
    ['{{ listed[0] }}', 10],
    ['{{ scalar.result }}', 5],
    ['{{ scalar + 1 }}', 6],
    ['{{ absent.data is none }}', true],
    ['{{ start.data.data is defined }}', false],
    ['{{ start.data is defined }}', true],
    ['{{ steps.start.data }}', { n: 1 }],
    ["{{ steps['other'].data[0] }}", 1],
    ["{{ steps[ctx.wanted | default('start')].result.n }}", 1],
    ['{{ (start or fetched).data.keys }}', 'k'],
    ['{{ (start if yes else fetched).data.keys }}', 'k'],
    ["{{ start.get('data').keys }}", 'k'],
    ["{{ 'data' in start }}", false],
    ["{{ 'start' in steps }}", true],
    ['{{ steps }}', { start: { n: 1 }, other: [1] }],
    ['{{ [start] | length }}', 1],
    ['{{ [scalar, listed] }}', [5, [10, 20]]],
    ["{{ {'s': scalar} }}", { s: 5 }],
  ],
  operators: [
    ['{{ count == 3 and name == "Ada" }}', true],
    ["{{ name != 'Ada' or count >= 3 }}", true],
    ['{{ not yes }}', false],
    ['{{ not name == "Bob" }}', true],
    ['{{ 1 < 2 < 3 }}', true],
    ['{{ 1 < 3 < 2 }}', false],
    ['{{ "b" > "a" }}', true],
    ['{{ 1 == 1.0 and 1 == true }}', true],
    ["{{ '1' == 1 }}", false],
    ['{{ [1, [2]] == [1, [2]] and {"a": 1} == {"a": 1} }}', true],
    ["{{ 'x' in ['x', 'y'] }}", true],
    ["{{ 'da' in name }}", true],
    ["{{ 'zebra' in order and 'x' not in order }}", true],
    ['{{ output.http.status in [429, 500] }}', false],
    ['{{ output.error.retryable and output.status == "error" }}', true],
    ['{{ name or "nobody" }}', 'Ada'],
    ['{{ empty or "nobody" }}', 'nobody'],
    ['{{ zero and 1 }}', 0],
    ['{{ "big" if count > 2 else "small" }}', 'big'],
    ['{{ "a" if no else "b" if no else "c" }}', 'c'],
    ['{{ "a" if no }}', null],
    ['{{ 7 / 2 }}', 3.5],
    ['{{ 4 / 2 }}', 2],
    ['{{ 7 // 2 }}', 3],
    ['{{ -7 // 2 }}', -4],
    ['{{ -7 % 3 }}', 2],
    ['{{ 7 % -3 }}', -2],
    ['{{ 2 ** 10 }}', 1024],
    ['{{ 2 ** -1 }}', 0.5],
    ['{{ 1 + 2 * 3 - -4 }}', 11],
    ['{{ (1 + 2) * 3 }}', 9],
    ["{{ 'a' + 'b' }}", 'ab'],
    ["{{ 'n' ~ count ~ nothing ~ yes }}", 'n3true'],
    ['{{ [1] + [2] }}', [1, 2]],
    ["{{ 'ab' * 2 }}", 'abab'],
    ["{{ 'a' 'b' }}", 'ab'],
    ['{{ True and not False and None is none }}', true],
    ["{{ 'a\\n\\'b\\' \\u00e9 \\d' }}", "a\n'b' \u00e9 \\d"],
    ['{{ 1_000 + 0x10 + 1e3 }}', 2016],
    ["{{ '%s has %d (%.1f%%)' % (name, count, 12.34) }}", 'Ada has 3 (12.3%)'],
  ],
  'filters and tests': [
    ["{{ '42' | int + 1 }}", 43],
    ["{{ '' | int }}", 0],
    ['{{ missing | int }}', 0],
    ['{{ nothing | int }}', 0],
    ["{{ 'abc' | int(7) }}", 7],
    ["{{ 'abc' | int(default=8) }}", 8],
    ["{{ ' 3.7 ' | int }}", 3],
    ['{{ -3.7 | int }}', -3],
    ["{{ 'ff' | int(base=16) }}", 255],
    ['{{ yes | int }}', 1],
    ["{{ '1.5' | float + 1 }}", 2.5],
    ["{{ 'x' | float(9) }}", 9],
    ['{{ count | string }}', '3'],
    ['{{ yes | string }}', 'true'],
    ["{{ 'AbC' | lower ~ 'AbC' | upper }}", 'abcABC'],
    ["{{ '  x ' | trim }}", 'x'],
    ["{{ 'a-b-c' | replace('-', '') }}", 'abc'],
    ["{{ 'a-b-c' | replace('-', '+', 1) }}", 'a+b-c'],
    ['{{ missing | length }}', 0],
    ["{{ 'h\u00e9\u{1F600}' | length }}", 3],
    ['{{ order | length }}', 3],
    ['{{ none_at_all | first is defined }}', false],
    ['{{ numbers | last }}', 2],
    ['{{ numbers | sum }}', 6],
    ['{{ numbers | min }}', 1],
    ['{{ numbers | max }}', 3],
    ['{{ numbers | sort }}', [1, 2, 3]],
    ['{{ numbers | sort(reverse=true) }}', [3, 2, 1]],
    ["{{ ['b', 'A', 'a'] | unique | sort }}", ['A', 'b']],
    ["{{ numbers | join(',') }}", '3,1,2'],
    ["{{ rows | join('/', attribute='name') }}", 'x/y/z'],
    ["{{ rows | map(attribute='id') | list }}", [1, 2, 3]],
    ["{{ rows | map(attribute='deep.n', default=0) | list }}", [0, 0, null]],
    ["{{ ['a', 'b'] | map('upper') | list }}", ['A', 'B']],
    ["{{ numbers | select('odd') | list }}", [3, 1]],
    ["{{ numbers | select('>', 1) | list }}", [3, 2]],
    ["{{ [0, 1, '', 'x'] | select | list }}", [1, 'x']],
    ["{{ numbers | reject('equalto', 1) | list }}", [3, 2]],
    ["{{ rows | selectattr('deep') | map(attribute='id') | list }}", [3]],
    ["{{ rows | selectattr('id', 'ge', 2) | map(attribute='name') | join }}", 'yz'],
    ["{{ rows | rejectattr('tags') | map(attribute='id') | list }}", [2]],
    ["{{ rows | sum(attribute='id') }}", 6],
    ["{{ (rows | max(attribute='id')).name }}", 'z'],
    [
      '{{ order | items | list }}',
      [
        ['zebra', 1],
        ['apple', 2],
        ['mango', { z: 1, a: 2 }],
      ],
    ],
    ['{{ order | list }}', ['zebra', 'apple', 'mango']],
    ['{{ 2.5 | round }}', 3],
    ['{{ 1.005 | round(2) }}', 1.01],
    ["{{ 1.21 | round(1, 'ceil') }}", 1.3],
    ['{{ -3 | abs }}', 3],
    ["{{ 'h\u00e9' | b64encode }}", 'aMOp'],
    ["{{ 'aMOp' | b64decode }}", 'h\u00e9'],
    ["{{ 'a&b c/d' | urlencode }}", 'a%26b%20c/d'],
    ["{{ {'a': 1, 'b': 'x y'} | urlencode }}", 'a=1&b=x+y'],
    ['{{ quote | e }}', 'it&#39;s &lt;b&gt;'],
    ['{{ quote | safe }}', "it's <b>"],
    ["{{ '%s-%03d' | format('a', 7) }}", 'a-007'],
    ['{{ \'{"a": [1]}\' | from_json }}', { a: [1] }],
    ["{{ 'a,b' | split(',') }}", ['a', 'b']],
    ["{{ 'ab cd' | title }}", 'Ab Cd'],
    ['{{ numbers | reverse }}', [2, 1, 3]],
    ["{{ 'x' is string and 1 is number and rows is sequence and order is mapping }}", true],
    ['{{ 1.5 is integer or 2 is odd }}', false],
    ["{{ 6 is divisibleby 3 and 'x' is in ['x'] }}", true],
    ["{{ 'abc' is startingwith('a') }}", true],
    ['{{ yes is true and no is false }}', true],
  ],
  'calls and methods': [
    ['{{ now() }}', '2026-01-02T03:04:05.000Z'],
    ['at {{ now() }}', 'at 2026-01-02T03:04:05.000Z'],
    ['{{ range(3) | list }}', [0, 1, 2]],
    ['{{ range(1, 7, 3) }}', [1, 4]],
    ['{{ range(3, 0, -1) }}', [3, 2, 1]],
    ['{{ dict(a=1, b=count) }}', { a: 1, b: 3 }],
    ["{{ order.get('apple', 9) }}", 2],
    ["{{ order.get('pear', 9) }}", 9],
    ["{{ order.get('pear') }}", null],
    ['{{ order.keys() }}', ['zebra', 'apple', 'mango']],
    ['{{ order.mango.values() }}', [1, 2]],
    [
      '{{ order.mango.items() }}',
      [
        ['z', 1],
        ['a', 2],
      ],
    ],
    ["{{ '{} is {n:.2f}, {0!}'.format }}", null],
    ["{{ '{} is {n:.2f}'.format(name, n=price) }}", 'Ada is 2.50'],
    ["{{ '{0}{1}{0} {a.b} {{}}'.format(1, 2, a={'b': 3}) }}", '121 3 {}'],
    [
      "{{ '{:>6}|{:<4}|{:^5}|{:05d}|{:,}'.format('r', 'l', 'c', 42, 1234567) }}",
      '     r|l   |  c  |00042|1,234,567',
    ],
    ["{{ 'a b c'.split() }}", ['a', 'b', 'c']],
    ["{{ ' x '.strip().upper() }}", 'X'],
    ["{{ '-'.join(['a', 1]) }}", 'a-1'],
    ["{{ 'abc'.startswith('ab') and 'abc'.endswith('c') }}", true],
    ["{{ 'aXa'.replace('X', '-') }}", 'a-a'],
    ["{{ 'banana'.count('a') }}", 3],
  ],
  statements: [
    ['{% if count > 2 %}many{% else %}few{% endif %}', 'many'],
    ['{% if no %}a{% elif nothing %}b{% elif yes %}c{% else %}d{% endif %}', 'c'],
    ['{% for row in rows %}{{ row.id }}{% if not loop.last %},{% endif %}{% endfor %}', '1,2,3'],
    [
      '{% for k, v in order.items() %}{{ loop.index0 }}{{ k }}={{ v }};{% endfor %}',
      '0zebra=1;1apple=2;2mango={"z":1,"a":2};',
    ],
    [
      '{% for row in rows if row.tags %}{{ loop.index }}/{{ loop.length }}:{{ row.id }} {% endfor %}',
      '1/2:1 2/2:3 ',
    ],
    ['{% for x in none_at_all %}x{% else %}nobody{% endfor %}', 'nobody'],
    ['{% for x in missing %}x{% endfor %}.', '.'],
    ['{% for a in [1, 2] %}{% for b in [3, 4] %}{{ a * b }} {% endfor %}{% endfor %}', '3 4 6 8 '],
    ['{% set n = count + 1 %}{{ n }}', '4'],
    ['{% set t %}<{{ name }}>{% endset %}{{ t }}{{ t }}', '<Ada><Ada>'],
    ['{% set n = 1 %}{% for x in numbers %}{% set n = x %}{% endfor %}{{ n }}', '1'],
    ['a\n{%- if yes %} b {%- endif -%}  c', 'a bc'],
    ["SELECT 1{% if name %} WHERE n = '{{ name }}'{% endif %};", "SELECT 1 WHERE n = 'Ada';"],
  ],
}

for (const [rule, cases] of Object.entries(rows)) {
  t.test(rule, async (t) => {
    for (const [template, expected] of cases) {
      t.strictSame(compileTemplate(template).render(scopeOf(values)), expected, JSON.stringify(template))
    }
  })
}

t.test('language: objects keep the order of their keys', async (t) => {
  const rendered = compileTemplate('{{ order if yes else {} }}').render(scopeOf(values))
  t.equal(JSON.stringify(rendered), JSON.stringify(values.order))
})

t.test('language: text rendering gives text for every type', async (t) => {
  for (const [template, text] of [
    ['{{ count }}', '3'],
    ['{{ missing }}', ''],
    ['{{ numbers }}', '[3,1,2]'],
    ['{{ count }}\n', '3\n'],
    ['{{ execution_id }}', '478775660589088776'],
    ['no template', 'no template'],
    [7, '7'],
    [{ a: '{{ count }}' }, '{"a":3}'],
  ] as [Json, string][]) {
    t.equal(compileTemplate(template).renderText(scopeOf(values)), text, JSON.stringify(template))
  }
})

t.test('language: what makes no sense is a render error that names template and fault', async (t) => {
  for (const [template, message] of [
    ['{{ missing + 1 }}', /an undefined value \+ a number/],
    ["{{ 'a' < 1 }}", /a string cannot be compared with a number/],
    ['{{ 1 / 0 }}', /division by zero/],
    ['{{ nothing | length }}', /null has no length/],
    ["{{ token('gcp') }}", /token\(\) is there in the fields of tools only/],
    ['{{ nosuch() }}', /function nosuch\(\) is not known/],
    ['{{ 1 | nosuch }}', /unknown filter: filter nosuch/],
    ['{{ 1 is nosuch }}', /unknown test: test nosuch/],
    ["{{ 'a'.nosuch() }}", /no method named nosuch/],
  ] as [string, RegExp][]) {
    t.throws(
      () => compileTemplate(template).render(scopeOf(values)),
      { code: 'NOETL_ERR_TEMPLATE_RENDER', statusCode: 422, message },
      template,
    )
  }
})

t.test('language: what does not parse throws when it is compiled, and says where', async (t) => {
  for (const [template, message] of [
    ['{{ `date` }}', /unexpected character "`" \(line 1\)/],
    ['a\nb {{ x y }}', /unexpected "y" \(line 2\)/],
    ['{{ x', /\{\{ is never closed/],
    ['{{ }}', /an expression is missing/],
    ["{{ 'x }}", /a string is never closed/],
    ['{% if x %}y', /\{% endif %\} is missing/],
    ['{% endfor %}', /\{% endfor %\} is not known/],
    ['{% include "x" %}', /\{% include %\} is not known/],
    ['{{ (1 }}', /expected "\)"|never closed/],
    ['{{ a.b( }}', /never closed|unexpected/],
    ['{# x', /comment is opened/],
    ['{{ 1 + }}', /an expression is missing/],
    ['{{ x(1)(2) }}', /only functions and methods/],
  ] as [string, RegExp][]) {
    t.throws(
      () => compileTemplate({ deep: [template] }),
      { code: 'NOETL_ERR_TEMPLATE_PARSE', message },
      template,
    )
  }
})

t.test(
  'limits: a path of very many members, and a text that indenting would make huge, are refused',
  async (t) => {
    const scope = { lookup: () => undefined }
    const path = `{{ n${'.a'.repeat(50_000)} }}`
    t.throws(() => compileTemplate(path), {
      code: 'NOETL_ERR_TEMPLATE_PARSE',
      message: /at most 1000 members/,
    })
    const text = compileTemplate(`{{ ('a\n' * 100000) | indent(100000) }}`)
    t.throws(() => text.render(scope), { code: 'NOETL_ERR_TEMPLATE_RENDER', message: /longer than/ })
    t.equal(compileTemplate(`{{ 'a\nb' | indent(2) }}`).render(scope), 'a\n  b')
  },
)

t.test(
  'limits: lists that double in size or in depth are refused before they take the process',
  async (t) => {
    const scope = { lookup: (name: string) => (name === 'x' ? [1] : undefined) }
    for (const grow of ['[l,l]', 'l+l', '{"a": l, "b": l}']) {
      const bomb = `{% set l=x %}${`{% set l=${grow} %}`.repeat(40)}{{ l }}`
      t.throws(() => compileTemplate(bomb).render(scope), { code: 'NOETL_ERR_TEMPLATE_RENDER' }, grow)
    }
    let held: unknown = [1]
    const twice = compileTemplate('{{ [x, x] }}')
    t.throws(
      () => {
        for (let i = 0; i < 40; i++) held = twice.render({ lookup: () => held })
      },
      { code: 'NOETL_ERR_TEMPLATE_RENDER', message: /longer than/ },
    )
    t.same(compileTemplate('{{ [x, [x, none]] }}').render(scope), [[1], [[1], null]])
  },
)

t.test(
  'language: what goes through long texts and large values again and again is stopped in time',
  async (t) => {
    const scope = scopeOf({
      text: 'ab'.repeat(2 ** 20),
      map: Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`k${n}`, n])),
    })
    for (const body of [
      "'x' in text",
      "text | replace('a', 'c')",
      'text[5]',
      'text[1:3]',
      'text | first',
      "text.split('a')",
      'text ~ text',
      'map == map',
      'map in [map, map]',
      'map | tojson',
      'map | items',
      'map | length',
      'map | dictsort',
    ]) {
      const source = `{% for i in range(100000) %}{{ (${body}) and '' }}{% endfor %}`
      t.throws(() => compileTemplate(source).render(scope), /too many operations/, body)
    }
  },
)

t.test('language: no chain of filters makes a text longer than a template may print', async (t) => {
  const scope = scopeOf({ text: '"\\'.repeat(2 ** 21) })
  for (const body of [
    'text | b64encode | b64encode | b64encode | b64encode | b64encode',
    'text | tojson | tojson | tojson',
    'text | urlencode | urlencode',
    'text | e | e',
  ]) {
    t.throws(() => compileTemplate(`{{ ${body} | length }}`).render(scope), /would be longer/, body)
  }
  t.equal(compileTemplate("{{ text | replace('\"', 'q') | length }}").render(scope), 2 ** 22)
})
