import type { JsonObject } from '../schemas/json.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { FLOW } from './json-schema-flow.ts'
import { RULES } from './json-schema-rules.ts'
import { SEED } from './json-schema-seed.ts'
import { TEMPLATE } from './json-schema-template.ts'
import { toolDefinitions } from './json-schema-tools.ts'
import { about, anyOf, closed, LANE, list, MAPPING, NAME, orNull, PROSE, ref } from './json-schema-words.ts'

/**
 * The language of playbooks as a JSON Schema (draft 2020-12), both dialects, for editors and other programs: the
 * core's own part and a branch for each tool, of the tool's own making. It is closed where a key that is not known
 * is ignored, so that an editor shows it; what takes more than a look at one place (names, steps, ways) it leaves
 * to the compiler.
 */
export function playbookSchema(
  tools: readonly ToolDescription[],
  options: { otherKinds?: readonly string[] } = {},
): JsonObject {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'NoETL playbook',
    description: 'Steps that run tools, and the ways between them.',
    type: 'object',
    properties: ROOT,
    required: ['workflow'],
    ...anyOf(
      {
        required: ['metadata'],
        properties: { metadata: anyOf({ required: ['path'] }, { required: ['name'] }) },
      },
      { required: ['path'] },
      { required: ['name'] },
    ),
    $defs: {
      template: TEMPLATE,
      ...RULES,
      ...FLOW,
      ...SEED,
      step: STEP,
      ...toolDefinitions(tools, options.otherKinds ?? []),
    },
  }
}

const STEP: JsonObject = closed(
  'A step: a tool, or a list of them, and where to go on.',
  {
    step: about('Its name; the first is start.', NAME),
    name: about('Old spelling of step.', NAME),
    desc: PROSE,
    description: PROSE,
    tool: about(
      'What it runs: a tool, or a list of them in order. Without it the step only routes.',
      ref('tools'),
    ),
    loop: orNull(ref('loop')),
    input: about('Arguments for its tools; their own win.', ref('arguments')),
    args: about('As input, in the first dialect.', ref('arguments')),
    set: about('Values for names, set after the tool and before arcs are looked at.', ref('set')),
    vars: about('Names in ctx, in the first dialect.', MAPPING),
    next: ref('next'),
    spec: ref('stepSpec'),
    output: about('How a large result is kept: {output_select, store}.', MAPPING),
    output_select: about('Fields of a large result that are kept at hand.', {
      type: ['array', 'object', 'null'],
    }),
    react: ref('react'),
    aside: ref('aside'),
    case: anyOf(ref('case'), { type: 'null' }),
    sink: ref('sink'),
  },
  anyOf({ required: ['step'] }, { required: ['name'] }),
)

const ROOT: JsonObject = {
  apiVersion: { type: 'string', pattern: '^noetl\\.io/v[12]$', examples: ['noetl.io/v2'] },
  kind: { type: 'string', pattern: '^[Pp]laybook$', default: 'Playbook' },
  metadata: {
    description: 'What the catalog files it under.',
    type: 'object',
    properties: {
      path: about('Its name in the catalog, with slashes for folders.', { type: 'string', minLength: 1 }),
      name: about('A short name.', { type: 'string' }),
      description: PROSE,
    },
  },
  dialect: about('Which generation it is written for; by default what it uses.', {
    enum: ['current', 'seed'],
  }),
  workload: about('Defaults of what an execution is given; each key is a name.', MAPPING),
  workflow: about('The steps.', { ...list(ref('step')), minItems: 1 }),
  workbook: about(
    'Tools that steps use by name.',
    orNull(
      list({
        type: 'object',
        properties: { name: NAME, tool: { type: 'object', required: ['kind'] } },
        required: ['name'],
      }),
    ),
  ),
  keychain: about(
    'Secrets and tokens, made at the start, as keychain.<name>.<field>.',
    orNull(
      list({
        type: 'object',
        properties: {
          name: NAME,
          kind: about('credential, static, bearer, oauth2, google_id_token or secrets.', { type: 'string' }),
        },
        required: ['name'],
      }),
    ),
  ),
  executor: {
    type: ['object', 'null'],
    properties: {
      spec: {
        type: ['object', 'null'],
        properties: {
          entry_step: about('Where it begins. Default: start.', NAME),
          final_step: about('A step to run when all else has ended.', NAME),
          no_next_is_error: about('A step with arcs of which none matches fails. Default: false.', {
            type: 'boolean',
          }),
          on_error: about('What an error does that nothing catches. Default: fail.', {
            enum: ['fail', 'continue', 'park'],
          }),
          lane: LANE,
          max_steps: about(
            'How many steps an execution may enter. Default: 1,000,000, and 10,000 without a tool between.',
            {
              type: ['integer', 'null'],
              minimum: 1,
              maximum: 1_000_000_000,
            },
          ),
        },
      },
    },
  },
}
