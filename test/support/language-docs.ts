import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compilePlaybook } from '../../core/playbook/compile.ts'
import type { Json, JsonObject } from '../../core/schemas/json.ts'
import type { PlayOptions } from './play.ts'

/** An example of the language pages: a playbook, those it calls, and what stands below it. */
export interface Example {
  /** Page and heading. */
  name: string
  playbook: string
  /** By path. */
  children: Record<string, string>
  expected: Expected
  /** It uses tools that only a real worker has. */
  real: boolean
}

/** What is not named is not looked at. */
interface Expected extends Pick<PlayOptions, 'payload' | 'credentials'> {
  status?: string
  error?: string
  result?: Json
  ctx?: JsonObject
  entered?: string[]
  refused?: string
}

const KEYS = ['payload', 'credentials', 'status', 'error', 'result', 'ctx', 'entered', 'refused']
/** Kinds that run anywhere. */
const EVERYWHERE = ['noop', 'playbook', 'workbook', 'artifact']
const DOCS = fileURLToPath(new URL('../../docs/', import.meta.url))

/** All examples of the pages. A block of YAML that no block of JSON follows is a fault of the page. */
export function readExamples(): Example[] {
  const pages = readdirSync(`${DOCS}language`).sort()
  return ['language.md', ...pages.map((page) => `language/${page}`)].flatMap(readPage)
}

function readPage(page: string): Example[] {
  const examples: Example[] = []
  let heading = ''
  let yaml: string | undefined
  for (const [, title, kind, block = ''] of readFileSync(DOCS + page, 'utf8').matchAll(
    /^#+ (.+)$|^```(\w*)\n([\s\S]*?)^```$/gm,
  )) {
    if (title !== undefined) heading = title
    else if (kind === 'yaml') {
      if (yaml !== undefined) throw new Error(`${page}, ${heading}: nothing says what an example comes to`)
      yaml = block
    } else if (kind === 'json') {
      if (yaml === undefined) throw new Error(`${page}, ${heading}: an outcome has no example`)
      examples.push(exampleOf(`${page}: ${heading}, ${pathOf(yaml)}`, yaml, block))
      yaml = undefined
    } else throw new Error(`${page}, ${heading}: a block of ${kind || 'nothing'} is not run`)
  }
  if (yaml !== undefined) throw new Error(`${page}, ${heading}: nothing says what the last example comes to`)
  return examples
}

function exampleOf(name: string, yaml: string, json: string): Example {
  const expected = JSON.parse(json) as Expected & JsonObject
  for (const key of Object.keys(expected)) {
    if (!KEYS.includes(key)) throw new Error(`${name}: the outcome has the unknown key ${key}`)
  }
  const [playbook = '', ...others] = yaml.split(/^---$/m)
  const children = Object.fromEntries(others.map((text) => [pathOf(text), text]))
  const real = expected.refused === undefined && [playbook, ...others].some(needsWorker)
  return { name, playbook, children, expected, real }
}

function pathOf(text: string): string {
  const path = /^metadata:.*?path: ([\w/]+)/ms.exec(text)?.[1]
  if (path === undefined) throw new Error(`an example names no path: ${text.slice(0, 100)}`)
  return path
}

function needsWorker(text: string): boolean {
  const { playbook } = compilePlaybook(text)
  return playbook.steps.some(({ tasks, loop }) => {
    const kinds = [
      ...tasks.map(({ kind }) => kind),
      ...(loop?.cursor === undefined ? [] : [loop.cursor.kind]),
    ]
    return kinds.some((kind) => !EVERYWHERE.includes(kind))
  })
}
