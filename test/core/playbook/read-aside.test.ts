import t from 'tap'
import { compilePlaybook } from '../../../core/playbook/compile.ts'
import { LONG_TEXT, readText } from '../../../core/playbook/read-aside.ts'
import { readSubmission, type Submission } from '../../../core/playbook/submission.ts'
import { PLAYBOOK_LIMITS } from '../../../core/schemas/playbook-limits.ts'

function playbook(steps: number, last = '{step: end}'): string {
  const step = (i: number) =>
    `- step: ${i === 0 ? 'start' : `s${i}`}
  desc: Adds to what the steps before it made, and leads to the step behind it if that is still small.
  tool: {kind: noop, result: {n: ${i}, text: "{{ ctx.n + ${i} }}", half: 0.5}}
  set: {ctx.n: "{{ output.data.n }}"}
  next: {arcs: [{step: ${i + 1 === steps ? 'end' : `s${i + 1}`}, when: "{{ ctx.n < ${i} }}"}]}
`
  return `metadata: {path: long, name: Long}
workload: {whole: 123456789012345678901, digits: 0.12345678901234567890123, text: "Çelik – ü", large: 1.0e+300, none: null}
workflow:
${Array.from({ length: steps }, (_, i) => step(i)).join('')}- ${last}
`
}

const long = playbook(500)

const submitted = (content: string): Submission => ({
  ...{ content, register: true, limits: PLAYBOOK_LIMITS, tools: [] },
  toolKinds: ['noop'],
  lanes: ['normal'],
})

/** Turns of the event loop until it is settled. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0
  let over = false
  const end = () => {
    over = true
  }
  work.then(end, end)
  while (!over) {
    await new Promise(setImmediate)
    turns += 1
  }
  return turns
}

t.test('a long playbook: others have their turns while it is read', async (t) => {
  t.ok(long.length > LONG_TEXT)
  const sent = readText('submission', submitted(long), long.length)
  t.ok((await turnsDuring(sent)) > 10)
  t.strictSame(await sent, readSubmission(submitted(long)))
  const loaded = readText('registered', long, long.length)
  t.ok((await turnsDuring(loaded)) > 10)
  t.strictSame(await loaded, compilePlaybook(long).playbook)
})

t.test('a long playbook: several at once each have their own answer', async (t) => {
  const texts = [2, 3, 4].map((steps) => playbook(steps))
  const read = await Promise.all(texts.map((text) => readText('registered', text, LONG_TEXT)))
  t.strictSame(
    read,
    texts.map((text) => compilePlaybook(text).playbook),
  )
})

t.test('a long playbook: its faults are told as those of a short one', async (t) => {
  for (const text of [
    playbook(500, '{step: end, next: {arcs: [{step: edn}]}}'),
    `${long}\n  bad: [`,
    `a: ${'x'.repeat(PLAYBOOK_LIMITS.bytes)}`,
  ]) {
    const thrown = await readText('submission', submitted(text), text.length).then(
      () => t.fail('it was taken'),
      (error: unknown) => error,
    )
    try {
      readSubmission(submitted(text))
      t.fail('it was taken')
    } catch (error) {
      const facts = ({ code, message, statusCode, details }: Record<string, unknown>) => ({
        ...{ code, message, statusCode, details },
      })
      t.ok(thrown instanceof Error)
      t.strictSame(facts(Object(thrown)), facts(Object(error)))
    }
  }
})
