import type { JsonObject } from '../schemas/json.ts'
import {
  about,
  anyOf,
  COUNT,
  closed,
  closedOrNull,
  LANE,
  list,
  MAPPING,
  NAME,
  oneOrMore,
  orNull,
  PROSE,
  ref,
  withThen,
} from './json-schema-words.ts'

const arc: JsonObject = {
  step: about('Where it leads.', NAME),
  when: ref('condition'),
  cond: about('Old spelling of when.', ref('condition')),
  set: ref('set'),
  args: about('Arguments for the step it leads to.', ref('arguments')),
  input: about('As args.', ref('arguments')),
  name: {},
  desc: PROSE,
  spec: { description: 'How it is taken.', type: ['object', 'null'], properties: { lane: LANE } },
}
const mode = about('exclusive: the first arc that matches; inclusive: all that match.', {
  enum: ['exclusive', 'inclusive'],
})
const several = { type: 'object', required: ['then'] }
const target = closed(
  'A step with arguments.',
  { step: NAME, args: ref('arguments') },
  { required: ['step'] },
)
const reactions = (when: string) =>
  orNull(
    list(
      closed(when, {
        when: ref('condition'),
        set: ref('set'),
        collect: orNull(
          list(
            closed(
              'Adds to a list in ctx.',
              {
                into: about('Name of the list.', NAME),
                from: {},
                mode: { enum: ['append', 'extend'] },
              },
              { required: ['into', 'from'] },
            ),
          ),
        ),
        call: orNull(list(target)),
        next: orNull(list(target)),
        desc: PROSE,
      }),
    ),
  )

/** Ways from step to step, loops, and what a step says beside its tool. */
export const FLOW: JsonObject = {
  arc: closed('A way to another step.', arc, { required: ['step'] }),
  target: anyOf(about('Name of a step.', { type: 'string' }), ref('arc')),
  way: anyOf(
    ref('target'),
    closed('Several ways under one condition.', withThen(arc, oneOrMore(ref('target'))), {
      required: ['then'],
    }),
    closed(
      'The way when no condition holds.',
      { else: oneOrMore(anyOf(ref('target'), several)) },
      { required: ['else'] },
    ),
  ),
  next: {
    description: 'Where to go on. Without it the branch ends here.',
    anyOf: [
      { type: ['null', 'string'] },
      list(ref('way')),
      ref('arc'),
      closed('Arcs, and the mode in which they are taken.', {
        spec: { type: ['object', 'null'], properties: { mode, on_no_match: { const: 'quiet' } } },
        mode,
        arcs: orNull(list(ref('way'))),
        desc: PROSE,
      }),
    ],
  },
  loop: closed(
    'Runs the step for each element of a list.',
    {
      in: about('A list, a mapping, a whole number, or a template that gives one.', {
        type: ['array', 'object', 'integer', 'string'],
      }),
      iterator: about('Name of the element. Default: item.', { type: 'string', pattern: '^[^\\s.-]+$' }),
      mode: ref('loopMode'),
      max_in_flight: COUNT,
      spec: closedOrNull('How it goes.', {
        mode: ref('loopMode'),
        max_in_flight: about('Rounds at once. Default 8.', COUNT),
        result: about('Its result: that of all rounds, or of the last.', { enum: ['all', 'last'] }),
        policy: MAPPING,
        frame: MAPPING,
        cursor: {},
      }),
      cursor: about('Rows that workers claim by SQL.', { type: 'object' }),
      frame: {},
      policy: {},
      desc: PROSE,
    },
    anyOf({ required: ['in'] }, { required: ['cursor'] }),
  ),
  loopMode: { enum: ['sequential', 'parallel', 'cursor', 'async'] },
  react: closedOrNull(
    'What follows from an event of the step. Of each event the first that matches is taken.',
    {
      enter: reactions('Before the tool runs.'),
      call: reactions('After the tool ran; in a loop after each round.'),
      exit: reactions('As the step is left.'),
    },
  ),
  stepSpec: closedOrNull('What holds for the whole step.', {
    policy: closedOrNull('Rules.', {
      admit: anyOf(ref('admit'), list({ type: 'object' }), { type: 'null' }),
      rules: orNull(list(ref('rule'))),
    }),
    max_attempts: about('How often workers may begin it before it is given up. Default 3.', COUNT),
  }),
}
