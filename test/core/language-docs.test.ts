import t, { type Test } from 'tap'
import { isNoetlError } from '../../core/errors.ts'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import { type Example, readExamples } from '../support/language-docs.ts'
import { play } from '../support/play.ts'

const KINDS =
  'artifact container duckdb http nats noop playbook postgres python script secrets shell transfer workbook'
const toolKinds = KINDS.split(' ')
const examples = readExamples()

t.test('language: the pages have examples', async (t) => t.ok(examples.length > 35, `${examples.length}`))

for (const example of examples) {
  const { playbook, children, expected } = example
  t.test(`language: nothing is odd in ${example.name}`, async (t) => {
    if (expected.refused !== undefined) return
    for (const text of [playbook, ...Object.values(children)]) {
      t.same(compilePlaybook(text, { toolKinds }).warnings, [])
    }
  })
  if (!example.real) t.test(`language: ${example.name}`, (t) => check(t, example))
}

async function check(t: Test, { playbook, children, expected }: Example): Promise<void> {
  const { payload = {}, credentials = {}, error, refused, ...same } = expected
  if (refused !== undefined) {
    const fault = await play(playbook).then(
      () => undefined,
      (fault: unknown) => fault,
    )
    t.ok(isNoetlError(fault) && fault.message.includes(refused), String(fault))
    return
  }
  const played = await play(playbook, { payload, children, credentials })
  for (const key of Object.keys(same) as (keyof typeof same)[]) t.same(played[key], same[key], key)
  if (error !== undefined) t.ok(played.error?.includes(error), `${played.error}`)
}
