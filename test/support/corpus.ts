import { readdirSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { isObject, type Json, type JsonObject } from '../../core/schemas/json.ts'
import type { PlayOptions } from './play.ts'

/** A playbook and what DSL.md says that it comes to. */
export interface Case extends Pick<PlayOptions, 'payload' | 'gives' | 'children' | 'credentials' | 'env'> {
  name: string
  /** Where that is said. */
  rule: string
  playbook: string
  /** `true`: it runs on a real gateway too, with real tools; `false`: never there. */
  real?: boolean
  /** It comes to the same in whatever order its calls end. */
  any_order?: boolean
  expect: Expected
}

/** What is not named here is not looked at. */
export interface Expected {
  status?: string
  /** Part of the error's text. */
  error?: string
  result?: Json
  /** By step, the whole of each. */
  results?: JsonObject
  ctx?: JsonObject
  entered?: string[]
  events?: string[]
  /** Fields of each call of a tool that is stood in for, in order. */
  calls?: JsonObject[]
  /** Seconds before each repeat. */
  waits?: number[]
  widest?: number
  /** Part of what is said of a playbook that is not taken at all. */
  refused?: string
}

const KEYS = [
  'name',
  'rule',
  'playbook',
  'payload',
  'gives',
  'children',
  'credentials',
  'env',
  'real',
  'any_order',
  'expect',
]
const EXPECTED = [
  'status',
  'error',
  'result',
  'results',
  'ctx',
  'entered',
  'events',
  'calls',
  'waits',
  'widest',
  'refused',
]

/** A playbook's text with a path: cases leave it out where nothing turns on it. */
export function withPath(text: string, path: string): string {
  return /^metadata:/m.test(text) ? text : `metadata: {path: ${JSON.stringify(path)}}\n${text}`
}

export const CORPUS = new URL('../fixtures/corpus/', import.meta.url)

/** All cases, by area. A key that is not known is a slip of the pen that would check nothing. */
export function readCorpus(folder = CORPUS): Map<string, Case[]> {
  const areas = readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
  return new Map(areas.map((file) => [file.replace('.yaml', ''), readCases(new URL(file, folder))]))
}

function readCases(file: URL): Case[] {
  const cases: unknown = parse(readFileSync(file, 'utf8'))
  if (!Array.isArray(cases)) throw new Error(`${file.pathname} is no list of cases`)
  for (const entry of cases) {
    const { name, rule, playbook, expect } = isObject(entry) ? entry : {}
    const whole = typeof name === 'string' && typeof rule === 'string' && typeof playbook === 'string'
    if (!whole || !isObject(expect)) throw new Error(`${file.pathname}: a case is not whole: ${name ?? '?'}`)
    for (const key of [
      ...Object.keys(entry).filter((key) => !KEYS.includes(key)),
      ...Object.keys(expect).filter((key) => !EXPECTED.includes(key)),
    ]) {
      throw new Error(`${file.pathname}: "${name}" has the unknown key ${key}`)
    }
    if (expect.refused === undefined && expect.status === undefined)
      throw new Error(`${file.pathname}: "${name}" expects neither a status nor a refusal`)
  }
  return cases as Case[]
}
