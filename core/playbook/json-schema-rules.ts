import type { JsonObject } from '../schemas/json.ts'
import {
  about,
  anyOf,
  COUNT,
  closed,
  closedOrNull,
  list,
  MAPPING,
  orNull,
  PROSE,
  ref,
  SECONDS,
  withThen,
} from './json-schema-words.ts'
import { ACTIONS, BACKOFFS } from './rules.ts'

const action: JsonObject = {
  do: about('What follows. Default: continue.', { enum: [...ACTIONS] }),
  to: about('jump: the label to go to; previous is the one before.', { type: 'string' }),
  attempts: about('retry: runs in all. Default 3.', COUNT),
  max_attempts: about('Old spelling of attempts.', COUNT),
  delay: about('retry: seconds before the next run. Default 1.', SECONDS),
  backoff: about('retry: how the delay grows.', { enum: [...BACKOFFS] }),
  set: ref('set'),
  message: about('fail: text of the failure.', {}),
  result: about('What the result is instead.', {}),
  desc: PROSE,
}
const clause: JsonObject = { when: ref('condition'), name: {}, desc: PROSE }
const jumpNeedsTo = withThen(
  { if: { properties: { do: { const: 'jump' } }, required: ['do'] } },
  { required: ['to'] },
)
const allow: JsonObject = { allow: about('Whether the step may run.', { type: 'boolean' }) }
const allowing = closed('', { ...allow, desc: PROSE })

/** Conditions, values and rules. */
export const RULES: JsonObject = {
  condition: {
    title: 'condition',
    description: 'A template, or an expression without braces. Left out it is true.',
    type: ['string', 'boolean', 'number', 'null'],
    examples: ["{{ output.status == 'error' }}", 'ctx.page < 10'],
  },
  arguments: about('Named arguments; values may be templates.', MAPPING),
  set: {
    description: 'Values for names, all evaluated before any is set.',
    type: ['object', 'null'],
    propertyNames: { pattern: '^((ctx|iter|step|vars|workload)\\.[^.]+|[^.]*)$' },
    examples: [{ 'ctx.page': '{{ ctx.page + 1 }}' }],
  },
  action: closed('What follows when a rule matches.', action, jumpNeedsTo),
  rule: closed(
    'The first rule whose condition holds decides.',
    withThen({ ...clause, ...action }, ref('action'), {
      else: closed('Matches always.', withThen({ ...clause, ...action }, ref('action')), jumpNeedsTo),
    }),
    jumpNeedsTo,
  ),
  admit: closed('Rules that may refuse a step before it runs.', {
    rules: orNull(
      list(
        closed(
          'The first whose condition holds decides.',
          withThen({ ...clause, ...allow }, allowing, {
            else: closed('', withThen({ ...clause, ...allow }, allowing)),
          }),
        ),
      ),
    ),
  }),
  retry: anyOf(
    { type: ['boolean', 'null'] },
    { type: 'integer', minimum: 1 },
    closed('Old block; rules say the same.', {
      max_attempts: COUNT,
      attempts: COUNT,
      initial_delay: SECONDS,
      delay: SECONDS,
      backoff: {},
      when: ref('condition'),
      retry_when: ref('condition'),
    }),
  ),
  policy: closedOrNull('Rules for how a call ended.', { rules: orNull(list(ref('rule'))) }),
}
