import swagger from '@fastify/swagger'
import { Ajv, type ErrorObject, type FuncKeywordDefinition } from 'ajv'
import type { DataValidationCxt } from 'ajv/dist/types/index.js'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, LogController } from 'fastify'
import type { Logger } from 'pino'
import { isNoetlError, makeError, type NoetlError } from '../errors.ts'
import { isObject, parseJson, writeJson } from '../schemas/json.ts'
import { isTransient } from '../store/pools.ts'
import { requireToken } from '../token.ts'
import { requireHost } from './hosts.ts'
import { ID_PATTERN } from './shapes.ts'

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
  /** Names by which it may be asked while there is no token. */
  hosts: readonly string[]
  version: string
}): Promise<FastifyInstance> {
  const { log } = options
  const app = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.maxBodyBytes,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_PARAM },
    // What is wrong with an address is found before any route is.
    frameworkErrors: (error, request, reply) => {
      const told = asNoetlError(error, { maxBodyBytes: options.maxBodyBytes, url: request.url })
      void sendError(reply as unknown as FastifyReply, told)
    },
  }) as unknown as FastifyInstance

  // Text is no body here: without a parser it is refused as what it is.
  app.removeAllContentTypeParsers()
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

  if (options.apiToken === undefined) requireHost(app, options.hosts)
  requireToken(app, { apiToken: options.apiToken, openPaths: OPEN_PATHS })

  app.setNotFoundHandler((request) => {
    throw makeError('NOETL_ERR_ROUTE_NOT_FOUND', [request.method, request.url.split('?')[0] ?? ''])
  })
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const told = asNoetlError(error, { maxBodyBytes: options.maxBodyBytes, url: request.url })
    if (told.statusCode >= 500 && told.code !== 'NOETL_ERR_SATURATED') {
      log.error({ err: error, method: request.method, url: request.url }, 'a request failed')
    }
    return sendError(reply, told)
  })
  return app
}

function asNoetlError(error: FastifyError, about: { maxBodyBytes: number; url: string }): NoetlError {
  if (isNoetlError(error)) return error
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return makeError('NOETL_ERR_REQUEST_TOO_LARGE', [about.maxBodyBytes])
  }
  const wrongUrl = WRONG_URLS[error.code]
  if (wrongUrl !== undefined) {
    return makeError('NOETL_ERR_REQUEST_URL', [about.url.split('?')[0]!.slice(0, 100), wrongUrl])
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return makeError('NOETL_ERR_REQUEST_JSON', ['send it with content-type: application/json'])
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
  const what = UNSTORABLE[String((error as { code?: unknown }).code)]
  if (what === undefined) return undefined
  return makeError('NOETL_ERR_REQUEST_INVALID', [`a value cannot be stored: ${what}`])
}

/** Characters of one part of a path. */
const MAX_PARAM = 500
const WRONG_URLS: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'after a % two hexadecimal digits were expected, and together they must be UTF-8',
  FST_ERR_MAX_PARAM_LENGTH: `a part of it has more than ${MAX_PARAM} characters`,
}

/** By the code of Postgres, whose own words are of our tables and casts. */
const UNSTORABLE: Readonly<Record<string, string>> = {
  '22003': 'a number, or an id, is beyond what its field holds',
  '22007': 'a time is not written as one, such as 2026-01-31T12:00:00Z',
  '22008': 'a time is beyond what can be stored',
  '22021': 'a text has a character that cannot be stored, such as NUL',
  '22P02': 'a text is not of the form that its field has, such as a number or a UUID',
  '22P05': 'a text has a character that cannot be stored, such as NUL',
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
  const pattern = error.keyword === 'pattern' ? (error.params as { pattern?: string }).pattern : undefined
  const expected = pattern === undefined ? error.message : inWords(pattern)
  return `${place} ${expected ?? 'is not as expected'}; seen: ${shown}`
}

/** What a pattern asks for, as people say it. */
function inWords(pattern: string): string {
  if (pattern === ID_PATTERN) return 'must be an id: 1 to 19 digits'
  return pattern.includes('a-fA-F') ? 'must be a UUID' : 'is not written as expected'
}
