import { readFileSync } from 'node:fs'
import t from 'tap'
import { parseJson } from '../../../core/schemas/json.ts'
import { compileTemplate, type Scope, StepResult } from '../../../core/template/template.ts'

const text = readFileSync(new URL('../../../docs/templates.md', import.meta.url), 'utf8')
const NAMES: Record<string, unknown> = {
  n: 3,
  id: 9007199254740993123n,
  name: 'Ada',
  rows: [
    { id: 1, ok: true },
    { id: 2, ok: false },
  ],
  none: null,
  start: new StepResult({ items: [1, 2], total: 0 }),
}
const scope: Scope = { lookup: (name) => NAMES[name] }

const rows = [...text.matchAll(/^\| `(.+)` \| `(.+)` \|$/gm)].map(([, template = '', gives = '']) => ({
  template: template.replaceAll('\\|', '|'),
  gives: parseJson(gives),
}))

t.test('templates: the docs have examples', async (t) => t.ok(rows.length > 20))
for (const { template, gives } of rows) {
  t.test(`templates: ${template}`, async (t) => t.same(compileTemplate(template).render(scope), gives))
}
