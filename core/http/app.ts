import swagger from '@fastify/swagger'
import { Ajv, type ErrorObject, type FuncKeywordDefinition } from 'ajv'
import type { DataValidationCxt } from 'ajv/dist/types/index.js'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, LogController } from 'fastify'
import type { Logger } from 'pino'
import { isNoetlError, makeError, type NoetlError } from '../errors.ts'
import { isObject, parseJson, writeJson } from '../schemas/json.ts'
import { isTransient } from '../store/pools.ts'
import { requireToken } from '../token.ts'

/** Paths that answer without a token: probes. */
const OPEN_PATHS = ['/healthz', '/readyz', '/health', '/api/health']

/**
 * The HTTP side without its routes: bodies, errors, the token, the OpenAPI text. Errors have one shape,
 * which holds what each generation of clients looks for: `error` and `detail` are the text, `code` is ours.
 */
export async function makeApp(options: {
  log: Logger
  maxBodyBytes: number
  apiToken: string | undefined
  version: string
}): Promise<FastifyInstance> {
  const { log } = options
  const app = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.maxBodyBytes,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 500 },
  }) as unknown as FastifyInstance

  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? undefined : guarded(parseJson(body as string)))
    } catch (error) {
      done(makeError('NOETL_ERR_REQUEST_JSON', [(error as Error).message]))
    }
  })

  // Bodies must have the types they say; only query texts are read as numbers and booleans.
  const strict = new Ajv({ allErrors: false, verbose: true, strict: false })
  const lenient = new Ajv({
    coerceTypes: true,
    allErrors: false,
    verbose: true,
    strict: false,
    useDefaults: true,
  })
  strict.addKeyword(LONG_ID)
  app.setValidatorCompiler(({ schema, httpPart }) =>
    (httpPart === 'body' ? strict : lenient).compile(schema as object),
  )
  // Replies are what they are: schemas of replies describe, they do not cut.
  app.setSerializerCompiler(() => (data) => writeJson(data))
  app.setReplySerializer((data) => writeJson(data))
  app.setSchemaErrorFormatter((errors, part) =>
    makeError('NOETL_ERR_REQUEST_INVALID', [describe(errors[0] as unknown as ErrorObject, part)], {
      details: { at: `${part}${errors[0]?.instancePath ?? ''}` },
    }),
  )

  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'NoETL gateway', version: options.version },
      ...(options.apiToken === undefined
        ? {}
        : { components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } } }),
    },
  })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())

  requireToken(app, { apiToken: options.apiToken, openPaths: OPEN_PATHS })

  app.setNotFoundHandler((request) => {
    throw makeError('NOETL_ERR_ROUTE_NOT_FOUND', [request.method, request.url.split('?')[0] ?? ''])
  })
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const told = asNoetlError(error)
    if (told.statusCode >= 500 && told.code !== 'NOETL_ERR_SATURATED') {
      log.error({ err: error, method: request.method, url: request.url }, 'a request failed')
    }
    return sendError(reply, told)
  })
  return app
}

function asNoetlError(error: FastifyError): NoetlError {
  if (isNoetlError(error)) return error
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return makeError('NOETL_ERR_REQUEST_TOO_LARGE', [
      String((error as { limit?: number }).limit ?? 'its size'),
    ])
  }
  if (error.code?.startsWith('FST_ERR_CTP') || error.statusCode === 400) {
    return makeError('NOETL_ERR_REQUEST_JSON', [error.message])
  }
  const wrong = unstorable(error)
  if (wrong !== undefined) return wrong
  if (isTransient(error)) return makeError('NOETL_ERR_STORE_UNREACHABLE', ['its address', error.message])
  // What failed is in the log; a stranger need not read it.
  return makeError('NOETL_ERR_INTERNAL', [error.code ?? error.name])
}

/**
 * What only Postgres finds out of a request: a number beyond its type, a NUL in a text, a time that is none.
 * The statements are ours and fixed, so it is the value that is wrong.
 */
export function unstorable(error: unknown): NoetlError | undefined {
  const { code, message } = error as { code?: unknown; message?: string }
  if (!['22003', '22007', '22008', '22021', '22P02', '22P05'].includes(String(code))) return undefined
  return makeError('NOETL_ERR_REQUEST_INVALID', [`a value cannot be stored: ${message}`])
}

export function sendError(reply: FastifyReply, error: NoetlError): FastifyReply {
  const status = error.statusCode
  const wait = isObject(error.details) ? error.details.retry_after : undefined
  if (typeof wait === 'number') reply.header('retry-after', Math.max(1, wait))
  else if (status === 503) reply.header('retry-after', 1)
  return reply.code(status).send({
    error: error.message,
    detail: error.message,
    status,
    code: error.code,
    ...(error.details === undefined ? {} : { details: error.details }),
  })
}

/** An id that came as a number which only a bigint holds becomes text, in its place: see `Id`. */
const LONG_ID: FuncKeywordDefinition = {
  keyword: 'x-long-id',
  schemaType: 'boolean',
  modifying: true,
  errors: false,
  validate(_wanted: boolean, value: unknown, _schema?: unknown, place?: DataValidationCxt) {
    if (typeof value !== 'bigint' || !/^\d{1,19}$/.test(String(value)) || place === undefined) return false
    place.parentData[place.parentDataProperty] = String(value)
    return true
  },
}

/** Beyond what a tool's result may have, with what carries it. */
const MAX_DEPTH = 256

/** Refuses what later layers cannot hold: a nesting beyond the limit. */
function guarded(value: unknown): unknown {
  const walk = (part: unknown, depth: number): void => {
    if (!isObject(part) && !Array.isArray(part)) return
    if (depth > MAX_DEPTH) throw new Error(`it is nested deeper than ${MAX_DEPTH} levels`)
    for (const inner of Array.isArray(part) ? part : Object.values(part)) walk(inner, depth + 1)
  }
  walk(value, 0)
  return value
}

/** `body/payload: expected object, seen "abc"`. */
function describe(error: ErrorObject | undefined, part: string): string {
  if (error === undefined) return `The ${part} is not as expected.`
  const place = `${part}${error.instancePath}`
  const seen = JSON.stringify(error.data)
  const shown = seen === undefined ? 'nothing' : seen.length > 60 ? `${seen.slice(0, 60)}…` : seen
  return `${place} ${error.message ?? 'is not as expected'}; seen: ${shown}`
}
