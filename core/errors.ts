import createError, { type FastifyError } from '@fastify/error'
import type { Json } from './schemas/json.ts'

/**
 * Every error of the gateway that crosses a process, in one table: code → [message, HTTP status].
 * A code is never reused or renamed; `docs/errors.md` tells cause and cure of each.
 * Messages say what was seen, what was expected and what to type next; `%s` are filled in order.
 */
export const ERRORS = {
  NOETL_ERR_CONFIG_INVALID: ['The configuration has faults:\n%s', 500],
  NOETL_ERR_STORE_UNREACHABLE: [
    'Postgres at %s does not answer: %s. Start it, or name another with DATABASE_URL or --database-url.',
    503,
  ],
  NOETL_ERR_STORE_SCHEMA: [
    'The database has schema version %s, this server needs %s. Run: noetlctl setup',
    503,
  ],
  NOETL_ERR_BUS_UNREACHABLE: [
    'NATS at %s does not answer: %s. Start nats-server with JetStream (-js), or name another with NATS_URL or --nats-url.',
    503,
  ],
  NOETL_ERR_SERVER_UNREACHABLE: [
    'No server answers at %s: %s. Start one with: noetlctl dev, or name another with SERVER_API_URL or --server.',
    503,
  ],
  NOETL_ERR_PORT_TAKEN: ['Cannot listen on %s: %s. Choose another port with NOETL_PORT or --port.', 500],
  NOETL_ERR_REQUEST_INVALID: ['%s', 422],
  NOETL_ERR_LANE_UNKNOWN: ['Lane "%s" is unknown; there is %s.%s', 422],
  NOETL_ERR_REQUEST_JSON: ['The body is not JSON: %s', 400],
  NOETL_ERR_REQUEST_URL: ['The address %s cannot be read: %s.', 400],
  NOETL_ERR_REQUEST_HOST: [
    'This server has no token and is not asked as %s: use 127.0.0.1 or localhost, set NOETL_PUBLIC_URL to the address it has, or give it a token with NOETL_API_TOKEN.',
    421,
  ],
  NOETL_ERR_REQUEST_TOO_LARGE: ['The body is over the limit of %s bytes.', 413],
  NOETL_ERR_REQUEST_UNAUTHORIZED: [
    'This server wants a token: send the header "Authorization: Bearer <token>".',
    401,
  ],
  NOETL_ERR_ROUTE_NOT_FOUND: ['There is no %s %s here; /openapi.json lists the routes.', 404],
  NOETL_ERR_SATURATED: ['The server has as much waiting as it can hold; try again in %s s.', 503],
  NOETL_ERR_INTERNAL: ['The server failed in a way that it should not: %s', 500],
  NOETL_ERR_PLAYBOOK_YAML: ['The playbook is not valid YAML: %s', 400],
  NOETL_ERR_PLAYBOOK_TOO_LARGE: [
    'The playbook has %s; this server takes %s at most. Split it into playbooks that call each other, or raise NOETL_MAX_PLAYBOOK_BYTES or NOETL_MAX_PLAYBOOK_NODES.',
    413,
  ],
  NOETL_ERR_PLAYBOOK_INVALID: ['The playbook has faults:\n%s', 422],
  NOETL_ERR_PLAYBOOK_NOT_FOUND: ['No playbook is registered as %s.%s', 404],
  NOETL_ERR_EXECUTION_NOT_FOUND: ['There is no execution %s. List them with: noetlctl execution list', 404],
  NOETL_ERR_EXECUTION_FINISHED: ['Execution %s is %s; it takes no more events.', 409],
  NOETL_ERR_EXECUTION_FINALIZED: ['%s', 409],
  NOETL_ERR_EXECUTION_DEPTH: [
    'Playbook %s would be the %sth execution that waits for another; more than %s look like a ring.',
    422,
  ],
  NOETL_ERR_EXECUTION_STEPS: [
    'The execution has entered %s steps%s: a cycle that nothing ends? executor.spec.max_steps of the playbook says how many it may enter.',
    422,
  ],
  NOETL_ERR_EXECUTION_CHILD: ['Execution %s of playbook %s, which this step waits for, %s.', 500],
  NOETL_ERR_RESULT_NOT_FOUND: ['There is no result %s.', 404],
  NOETL_ERR_WORKER_NOT_FOUND: ['No worker is registered as %s; register it first.', 404],
  NOETL_ERR_COMMAND_NOT_FOUND: ['There is no command %s.', 404],
  NOETL_ERR_COMMAND_CLAIMED: ['Command %s runs on worker %s until its lease ends.', 409],
  NOETL_ERR_COMMAND_SETTLED: ['Command %s is settled already.', 409],
  NOETL_ERR_COMMAND_LATE: [
    'The lease of command %s was lost; this report is kept as late and changes nothing.',
    409,
  ],
  NOETL_ERR_COMMAND_IN_DOUBT: [
    'Command %s of step %s may have had its effect before worker %s was lost, and is not safe to repeat. Look, then: noetlctl execution resolve %s',
    500,
  ],
  NOETL_ERR_COMMAND_DROPPED: ['%s', 500],
  NOETL_ERR_LETTER_NOT_FOUND: [
    'There is no open dead letter %s. List them with: noetlctl dead-letter list',
    404,
  ],
  NOETL_ERR_COMMAND_ATTEMPTS: ['Command %s of step %s was begun %s times and none was heard of again.', 500],
  NOETL_ERR_CREDENTIAL_NOT_FOUND: [
    'No credential is stored as %s.%s Store it with: POST /api/credentials {"name","type","data"}',
    404,
  ],
  NOETL_ERR_CREDENTIAL_EMPTY: [
    'The step asks for a credential with auth: "%s", which gave nothing. Name one, or leave auth out for the default.',
    422,
  ],
  NOETL_ERR_CREDENTIAL_REMOTE: [
    'The data of %s is not given to %s: without NOETL_API_TOKEN only processes on this machine get it.',
    403,
  ],
  NOETL_ERR_CREDENTIAL_KEY_MISSING: [
    'Credentials cannot be read or stored without a key: set NOETL_ENCRYPTION_KEY or NOETL_ENCRYPTION_KEY_FILE (32 bytes in base64 or hex).',
    503,
  ],
  NOETL_ERR_CREDENTIAL_KEY_WRONG: [
    'Credential %s was stored under another key (%s, this server has %s): start with the key it was stored under.',
    500,
  ],
  NOETL_ERR_CREDENTIAL_TOKEN: ['No token was had for credential %s: %s.', 502],
  NOETL_ERR_KEYCHAIN_NOT_FOUND: [
    'No keychain entry %s is stored for catalog id %s, or it has expired. Store it with: POST /api/keychain/{catalog_id}/{name} {"data"}',
    404,
  ],
  NOETL_ERR_VARIABLE_NOT_FOUND: ['Execution %s has no variable %s.', 404],
  NOETL_ERR_EVENT_NOT_FOUND: ['There is no event %s.', 404],
  NOETL_ERR_BATCH_NOT_FOUND: ['No batch of events was taken as %s, or it is forgotten.', 404],
  NOETL_ERR_SQL_API_OFF: [
    'This server runs no SQL for its clients: start it with NOETL_SQL_API=on, or use a postgres step.',
    403,
  ],
  NOETL_ERR_TEMPLATE_PARSE: ['The template does not parse: %s', 422],
  NOETL_ERR_TEMPLATE_RENDER: ['The template cannot be evaluated: %s', 422],
  NOETL_ERR_TEMPLATE_ENV: [
    'The workload asks for %s of the environment, which this server does not give: set it and name it in NOETL_TEMPLATE_ENV there, or send "%s" with the execution.',
    422,
  ],
  NOETL_ERR_NO_NEXT: [
    'No arc of step "%s" matches, which executor.spec.no_next_is_error makes an error. Add an arc without "when" behind the others, or next.spec.on_no_match: quiet.',
    422,
  ],
  NOETL_ERR_CTX_TOO_LARGE: [
    '%s would be over %s bytes as JSON. Leave a large value in the result of its step, which is stored aside, set only what later steps need of it, and let go of what they need no longer by setting it to an empty text.',
    422,
  ],
  NOETL_ERR_TOOL_UNKNOWN: ['No plugin brings the tool kind "%s"; there are: %s', 422],
  NOETL_ERR_TOOL_INPUT: ['The input of tool %s does not fit: %s', 422],
  NOETL_ERR_TOOL_OUTPUT: ['The result of tool %s does not fit its own schema: %s', 500],
  NOETL_ERR_TOOL_BUG: ['Tool %s failed in a way that it should not: %s', 500],
  NOETL_ERR_PLUGIN_NOT_FOUND: ['Plugin %s cannot be found from %s.', 500],
  NOETL_ERR_PLUGIN_MANIFEST: ['Package %s is no plugin: %s', 500],
  NOETL_ERR_PLUGIN_CONTRACT: [
    'Plugin %s speaks contract %s, this gateway speaks %s: install a version that does.',
    500,
  ],
  NOETL_ERR_PLUGIN_KIND_TAKEN: ['Plugins %s and %s both bring the tool kind "%s": remove one.', 500],
  NOETL_ERR_PLUGIN_KIND_UNDECLARED: ['Plugin %s registered kinds %s but its package.json declares %s.', 500],
  NOETL_ERR_PLUGIN_LOCK: [
    'The lock %s cannot be read: %s. Remove it, and install the plugins again with: noetlctl plugins install',
    500,
  ],
  NOETL_ERR_PLUGIN_INSTALL: ['%s', 500],
  NOETL_ERR_PLUGIN_CORE_RANGE: [
    'Plugin %s is made for @noetl/core %s, this is %s: install a version that fits, noetlctl plugins update %s',
    500,
  ],
  NOETL_ERR_PLUGIN_DIGEST: [
    'The files of plugin %s are not those that were installed (%s): install it again, or look with: noetlctl plugins verify',
    500,
  ],
  NOETL_ERR_PLUGIN_FASTIFY_RANGE: [
    'Plugin %s is made for another Fastify: %s. Install a version that fits.',
    500,
  ],
  NOETL_ERR_PLUGIN_DEPENDENCY: ['Plugin %s needs what is not here: %s', 500],
  NOETL_ERR_PLUGIN_SCHEMA: ['Plugin %s has a schema of the tool kind "%s" that does not compile: %s', 500],
  NOETL_ERR_PLUGIN_TIMEOUT: ['Plugin %s was not loaded within %s s.', 500],
  NOETL_ERR_PLUGIN_LOAD: ['Plugin %s failed to load: %s', 500],
} as const satisfies Record<string, readonly [message: string, status: number]>

export type ErrorCode = keyof typeof ERRORS

/** An error of the table: `code`, `statusCode`, and facts for programs in `details`. */
export type NoetlError = FastifyError & { code: ErrorCode; statusCode: number; details?: Json }

const constructors = new Map<ErrorCode, ReturnType<typeof createError>>()

/** Makes the error `code` with its message filled in from `values`. */
export function makeError(
  code: ErrorCode,
  values: readonly (string | number)[],
  options: { cause?: unknown; details?: Json } = {},
): NoetlError {
  let Made = constructors.get(code)
  if (Made === undefined) {
    const [message, status] = ERRORS[code]
    Made = createError(code, message, status)
    constructors.set(code, Made)
  }
  const error = Made(...values) as NoetlError
  if ('cause' in options) error.cause = options.cause
  if (options.details !== undefined) error.details = options.details
  return error
}

/** True for an error of the table, whichever copy of the module made it. */
export function isNoetlError(error: unknown): error is NoetlError {
  return error instanceof Error && 'code' in error && Object.hasOwn(ERRORS, String(error.code))
}
