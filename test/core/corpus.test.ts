import t, { type Test } from 'tap'
import { isNoetlError } from '../../core/errors.ts'
import { type Case, readCorpus } from '../support/corpus.ts'
import { type Played, type PlayOptions, play } from '../support/play.ts'
import { replay } from '../support/simulate.ts'

/** Ways to run a case: what it comes to must not turn on any of them. */
const WAYS: { how: string; options: PlayOptions }[] = [
  { how: 'with what is in memory', options: {} },
  { how: 'with all read back from what is stored', options: { forgetful: true } },
]
const ORDERS: typeof WAYS = [
  { how: 'the newest call ends first', options: { pick: (open) => open - 1 } },
  { how: 'the middle call ends first', options: { pick: (open) => open >> 1 } },
]

const corpus = readCorpus()
const names = new Set<string>()
for (const [area, cases] of corpus) {
  t.test(area, async (t) => {
    for (const one of cases) {
      t.notOk(names.has(one.name), `there is one case of this name: ${one.name}`)
      names.add(one.name)
      await t.test(one.name, (t) => check(t, one))
    }
  })
}

async function check(t: Test, one: Case): Promise<void> {
  const { playbook, payload, gives, children, credentials, env, expect } = one
  const given: PlayOptions = Object.fromEntries(
    Object.entries({ payload, gives, children, credentials, env }).filter(([, value]) => value !== undefined),
  )
  const { refused } = expect
  if (refused !== undefined) {
    const error = await play(playbook, given).then(
      () => undefined,
      (error: unknown) => error,
    )
    t.ok(isNoetlError(error), 'it is refused')
    t.match((error as Error)?.message, refused)
    return
  }
  for (const { how, options } of [...WAYS, ...(one.any_order ? ORDERS : [])]) {
    const played = await play(playbook, { ...given, ...options })
    compare(t, one, played, how)
    t.same(replay(played.told), played.state, `the events folded again give the same state, ${how}`)
  }
}

function compare(t: Test, { rule, expect }: Case, played: Played, how: string): void {
  const { error, results, calls, ...same } = expect
  const told = `${rule}: ${how}`
  const about = { played: { ...played, state: undefined, told: undefined } }
  for (const key of Object.keys(same) as (keyof typeof same & keyof Played)[]) {
    t.same(played[key], same[key], `${key}, ${told}`, about)
  }
  if (error !== undefined) t.ok(played.error?.includes(error), `error has "${error}", ${told}`, about)
  else if (expect.status === 'COMPLETED') t.equal(played.error, null, `no error, ${told}`)
  for (const [step, result] of Object.entries(results ?? {}))
    t.same(played.results[step], result, `result of ${step}, ${told}`, about)
  if (calls !== undefined)
    t.same(
      played.calls.map(({ fields }) => fields),
      calls,
      `calls, ${told}`,
      about,
    )
}
