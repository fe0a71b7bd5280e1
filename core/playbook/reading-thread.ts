// The thread of `read-aside.ts`.
import { parentPort } from 'node:worker_threads'
import { type ErrorCode, isNoetlError } from '../errors.ts'
import { parseJson, writeJson } from '../schemas/json.ts'
import type { Answered, Asked } from './read-aside.ts'
import { readings } from './readings.ts'

parentPort?.on('message', ({ id, name, input }: Asked) => {
  parentPort?.postMessage({ id, ...outcome(name, input) } satisfies Answered)
})

function outcome(name: Asked['name'], input: string) {
  try {
    const read = readings[name] as (input: unknown) => unknown
    return { value: writeJson(read(parseJson(input))) }
  } catch (error) {
    if (!isNoetlError(error)) return { thrown: error }
    return { code: error.code as ErrorCode, message: error.message, details: error.details }
  }
}
