import type { JsonObject } from '../schemas/json.ts'
import { about, anyOf, closed, list, NAME, oneOrMore, PROSE, ref, withThen } from './json-schema-words.ts'

const target = anyOf(about('Name of a step.', { type: 'string' }), {
  type: 'object',
  properties: { step: NAME, args: ref('arguments'), input: ref('arguments') },
  required: ['step'],
})
const anything = (description: string): JsonObject => ({ description })

/** What only the first dialect has. */
export const SEED: JsonObject = {
  case: oneOrMore({
    description: 'Of each event of the step the first clause whose condition holds is taken.',
    type: 'object',
    properties: withThen(
      { when: ref('condition'), cond: ref('condition'), else: ref('actions'), desc: PROSE },
      ref('actions'),
    ),
  }),
  actions: anyOf(
    about('Name of the step to go to.', { type: 'string' }),
    list(anyOf({ type: 'string' }, ref('seedAction'))),
    ref('seedAction'),
  ),
  seedAction: closed('Actions of a case.', {
    ...withThen({}, ref('actions')),
    next: oneOrMore(target),
    set: about('Names to set.', { type: ['object', 'null'] }),
    collect: oneOrMore({
      description: 'Adds to a list.',
      type: 'object',
      properties: { from: {}, into: NAME, mode: { enum: ['append', 'extend'] } },
      required: ['into'],
    }),
    call: about('Steps beside the flow.', oneOrMore(target)),
    sink: ref('sink'),
    retry: anything('Runs the call again: {max_attempts, delay, backoff}.'),
    result: anything('What the result is instead: {from}.'),
    fail: anything('Fails the execution: {message}.'),
    ...{
      step: NAME,
      args: ref('arguments'),
      input: ref('arguments'),
      when: ref('condition'),
      cond: ref('condition'),
    },
    ...{ else: ref('actions'), desc: PROSE, description: PROSE, name: {} },
  }),
  sink: {
    description: 'Writes the result: into a table of postgres or duckdb, to http, or with any other tool.',
    anyOf: [
      about('Table of postgres.', { type: 'string' }),
      { type: 'null' },
      { type: 'object' },
      list({ type: ['object', 'string'] }),
    ],
  },
}
