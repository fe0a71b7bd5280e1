import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'
import { makeError } from '../errors.ts'
import type { Json } from '../schemas/json.ts'
import { groupLetters, type Letter, type LetterFilter } from '../store/dead-letters.ts'
import { loadExecution } from '../store/executions.ts'
import type { Parts } from './parts.ts'
import { Anything, IdParams, Maybe } from './shapes.ts'

const Id = Type.String({ pattern: '^\\d{1,19}$' })
const Word = Type.String({ minLength: 1, maxLength: 1000 })
const Filter = Type.Object({
  fingerprint: Type.Optional(Word),
  path: Type.Optional(Word),
  execution_id: Type.Optional(Id),
  status: Type.Optional(
    Type.Union([
      Type.Literal('open'),
      Type.Literal('retried'),
      Type.Literal('resolved'),
      Type.Literal('dropped'),
    ]),
  ),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
})
const Many = Type.Object({
  ids: Type.Optional(Type.Array(Id, { maxItems: 10_000 })),
  fingerprint: Type.Optional(Word),
  path: Type.Optional(Word),
  all: Type.Optional(Type.Boolean()),
  /** Letters a second; default: as fast as it goes. */
  rate: Maybe(Type.Number({ exclusiveMinimum: 0 })),
  reason: Maybe(Type.String({ maxLength: 10_000 })),
})
type Many = Static<typeof Many>
const Resolve = Type.Object({
  step: Maybe(Word),
  as: Type.Union([Type.Literal('done'), Type.Literal('failed'), Type.Literal('retry')]),
  result: Type.Optional(Anything),
  reason: Maybe(Type.String({ maxLength: 10_000 })),
})

/** Letters taken in one go. */
const MAX_AT_ONCE = 10_000
const CHUNK = 100
const BY = 'operator'

/** `/api/v2/dead-letters…`: commands that wait for a person, alone or by cause, and what becomes of them. */
export function deadLetterRoutes(app: FastifyInstance, parts: Parts, prefix: string): void {
  app.get<{ Querystring: Static<typeof Filter> }>(
    `${prefix}/dead-letters`,
    { schema: { querystring: Filter, summary: 'Dead letters, newest first' } },
    async (request) => {
      const { limit = 100, ...query } = request.query
      const letters = await parts.letters.list(filterOf(query), limit)
      return { dead_letters: letters.map(present), count: letters.length }
    },
  )

  app.get<{ Querystring: Static<typeof Filter> }>(
    `${prefix}/dead-letters/groups`,
    { schema: { querystring: Filter, summary: 'Open dead letters by cause, the most frequent first' } },
    async (request) => {
      const { limit = 100, ...query } = request.query
      return { groups: await groupLetters(parts.pools.durable, filterOf(query), limit) }
    },
  )

  app.get<{ Params: IdParams }>(
    `${prefix}/dead-letters/:id`,
    { schema: { params: IdParams, summary: 'One dead letter, with its command as it was' } },
    async (request) => {
      const letter = await find(request.params.id)
      const command = letter.status === 'open' ? await parts.claims.look(letter.queue_id) : undefined
      return { ...present(letter), command: command ?? null }
    },
  )

  app.post<{ Body: Many }>(
    `${prefix}/dead-letters/retry`,
    { schema: { body: Many, summary: 'Gives commands back to the queue: by id, cause, playbook, or all' } },
    async (request) => {
      const chosen = await choose(request.body)
      const retried: string[] = []
      await paced(chosen, request.body.rate, async (chunk) => {
        retried.push(...(await parts.letters.retry(chunk)))
      })
      return { retried, count: retried.length }
    },
  )

  app.post<{ Body: Many }>(
    `${prefix}/dead-letters/drop`,
    { schema: { body: Many, summary: 'Gives commands up: their steps have failed' } },
    async (request) => {
      const chosen = await choose(request.body)
      const why = request.body.reason ?? 'the dead letter was dropped'
      const dropped: string[] = []
      await paced(chosen, request.body.rate, async (chunk) => {
        for (const letter of chunk) {
          await parts.letters.resolve(letter, { as: 'dropped', why }, BY)
          dropped.push(letter.letter_id)
        }
      })
      return { dropped, count: dropped.length }
    },
  )

  app.post<{ Params: IdParams; Body: Static<typeof Resolve> }>(
    `${prefix}/executions/:id/resolve`,
    {
      schema: {
        params: IdParams,
        body: Resolve,
        summary: 'Says how a command goes on that waits for a person',
      },
    },
    async (request) => {
      const { id } = request.params
      const { step, as, result, reason } = request.body
      if ((await loadExecution(parts.pools.durable, id)) === undefined) {
        throw makeError('NOETL_ERR_EXECUTION_NOT_FOUND', [id])
      }
      const filter: LetterFilter = { executionId: id, status: 'open', ...(step ? { step } : {}) }
      const letters = await parts.letters.list(filter, 2)
      const [letter, another] = letters
      if (letter === undefined) throw makeError('NOETL_ERR_LETTER_NOT_FOUND', [`of execution ${id}`])
      if (another !== undefined) {
        throw makeError('NOETL_ERR_REQUEST_INVALID', [
          'several commands of this execution wait; name one with body/step, or use its dead letter',
        ])
      }
      if (as === 'retry') await parts.letters.retry([letter])
      else if (as === 'done') {
        await parts.letters.resolve(letter, { as: 'done', result: (result ?? null) as Json }, BY)
      } else {
        await parts.letters.resolve(letter, { as: 'dropped', why: reason ?? 'given up by hand' }, BY)
      }
      return { execution_id: id, step: letter.step, letter_id: letter.letter_id, resolved: as }
    },
  )

  async function find(id: string): Promise<Letter> {
    const [letter] = await parts.letters.list({ ids: [id] }, 1)
    if (letter === undefined) throw makeError('NOETL_ERR_LETTER_NOT_FOUND', [id])
    return letter
  }

  async function choose({ ids, fingerprint, path, all }: Many): Promise<Letter[]> {
    if (ids === undefined && fingerprint === undefined && path === undefined && all !== true) {
      throw makeError('NOETL_ERR_REQUEST_INVALID', [
        'body must have ids, fingerprint, path, or all: true; seen: none',
      ])
    }
    const filter = filterOf({
      status: 'open',
      ...(fingerprint === undefined ? {} : { fingerprint }),
      ...(path === undefined ? {} : { path }),
    })
    const letters = await parts.letters.list(
      { ...filter, ...(ids === undefined ? {} : { ids }) },
      MAX_AT_ONCE,
    )
    const missing = ids?.find((id) => !letters.some((letter) => letter.letter_id === id))
    if (missing !== undefined) throw makeError('NOETL_ERR_LETTER_NOT_FOUND', [missing])
    return letters
  }
}

/** Takes letters in turn, no faster than so many a second. */
async function paced(
  letters: Letter[],
  rate: number | null | undefined,
  take: (chunk: Letter[]) => Promise<void>,
): Promise<void> {
  const size = rate == null ? CHUNK : Math.max(1, Math.min(CHUNK, Math.floor(rate)))
  for (let at = 0; at < letters.length; at += size) {
    if (at > 0 && rate != null) await pause((size / rate) * 1000)
    await take(letters.slice(at, at + size))
  }
}

function filterOf(query: Omit<Static<typeof Filter>, 'limit'>): LetterFilter {
  const { execution_id, ...rest } = query
  return { ...rest, ...(execution_id === undefined ? {} : { executionId: execution_id }) }
}

function present({ letter_id, queue_id, ...letter }: Letter): object {
  return { id: letter_id, command_id: queue_id, ...letter, message: letter.error.message }
}
