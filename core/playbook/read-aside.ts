import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, makeError } from '../errors.ts'
import { type Json, parseJson, writeJson } from '../schemas/json.ts'
import { readings } from './readings.ts'

type Readings = typeof readings
type Name = keyof Readings

/*
 * Reading a long text takes the YAML reader a second and more, in which a server would answer nobody. So long texts
 * are read in a thread, one after the other; it ends when none is left, and with it goes what it took of memory.
 * Short ones, which is nearly all, are read at once. What goes to the thread and back is JSON, which keeps the digits
 * of numbers: a clone would lose them.
 */

/** Characters from which on a text is read aside: shorter ones take some tens of milliseconds at most. */
export const LONG_TEXT = 100_000

/** What the thread is asked. */
export interface Asked {
  id: number
  name: Name
  /** The argument of the reading, as JSON. */
  input: string
}

/** What it answers. */
export type Answered = { id: number } & (
  | { value: string }
  | { code: ErrorCode; message: string; details: Json | undefined }
  | { thrown: unknown }
)

/** Reads what `name` says, here or in the thread, whichever suits a text of that length: the outcome is the same. */
export async function readText<K extends Name>(
  name: K,
  input: Parameters<Readings[K]>[0],
  length: number,
): Promise<ReturnType<Readings[K]>> {
  if (length < LONG_TEXT) {
    const read = readings[name] as (input: unknown) => ReturnType<Readings[K]>
    return read(input)
  }
  return parseJson(await ask(name, writeJson(input))) as ReturnType<Readings[K]>
}

interface Waiting {
  resolve(value: string): void
  reject(error: unknown): void
}

const waiting = new Map<number, Waiting>()
let thread: Worker | undefined
let lastId = 0

function ask(name: Name, input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const id = ++lastId
    waiting.set(id, { resolve, reject })
    thread ??= startThread()
    thread.postMessage({ id, name, input } satisfies Asked)
  })
}

function startThread(): Worker {
  // The ending is that of this file: .ts in the sources, .js when built.
  const started = new Worker(new URL(`./reading-thread${extname(import.meta.url)}`, import.meta.url))
  const gone = (error: unknown) => {
    if (thread !== started) return
    thread = undefined
    for (const [id, { reject }] of waiting) {
      waiting.delete(id)
      reject(error)
    }
  }
  started.on('message', (answered: Answered) => {
    const asker = waiting.get(answered.id)
    waiting.delete(answered.id)
    if (waiting.size === 0 && thread === started) {
      thread = undefined
      void started.terminate()
    }
    if ('value' in answered) asker?.resolve(answered.value)
    else asker?.reject('code' in answered ? remade(answered) : answered.thrown)
  })
  started.on('error', gone)
  started.on('exit', (code) =>
    gone(new Error(`the thread that reads long playbooks ended with code ${code}`)),
  )
  return started
}

function remade({ code, message, details }: { code: ErrorCode; message: string; details: Json | undefined }) {
  const error = makeError(code, [], details === undefined ? {} : { details })
  error.message = message
  return error
}
