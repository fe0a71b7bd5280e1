import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { readNumber } from '../schemas/numbers.ts'
import { put } from '../schemas/put.ts'
import { MAX_DEPTH, Refused, tooManyNodes } from './yaml-text.ts'

/** A document as JSON, and how to find the node of one of its values again. */
export interface YamlValues {
  root: Json
  /** Keys that a mapping has twice, each at its second place. */
  twice: { key: string; at: number }[]
  /** How many nodes were looked at: every one once, what an alias stands for once for each alias. */
  visited: number
  /** The node of a member: of a mapping's the key, for that is where a reader looks. */
  member(parent: Node, key: string | number): { key: Node; value: Node | null } | undefined
}

/** Nodes that aliases stand for, all together: a few lines of them can stand for any number. */
const MAX_ALIASED = 50_000
/** More keys that are there twice are not told. */
const TWICE_TOLD = 10

/**
 * Goes over a document once and makes JSON of it. Numbers keep all
 * their digits. Throws Refused for more than `maxNodes` nodes, for a nesting too deep, for an alias that nothing
 * stands behind or that stands within itself.
 */
export function valuesOf(contents: Node | null, text: string, maxNodes: number): YamlValues {
  const anchors = new Map<string, Node>()
  const targets = new Map<Node, Node>()
  const open = new Set<Node>()
  const twice: YamlValues['twice'] = []
  let visited = 0
  let aliased = 0
  /** How many aliases stand around what is looked at. */
  let within = 0

  function jsonOf(node: Node | null, depth: number): Json {
    if (node === null) return null
    const at = node.range?.[0] ?? 0
    visited += 1
    if (visited > maxNodes) throw tooManyNodes(maxNodes, at)
    if (depth > MAX_DEPTH) throw new Refused(`it is nested more than ${MAX_DEPTH} levels deep`, at)
    if (within > 0) {
      aliased += 1
      if (aliased > MAX_ALIASED)
        throw new Refused(`aliases stand for more than ${MAX_ALIASED} keys and values`, at)
    }
    if (isAlias(node)) {
      const target = anchors.get(node.source)
      if (target === undefined)
        throw new Refused(`nothing is named &${node.source} before this *${node.source}`, at)
      if (open.has(target))
        throw new Refused(`*${node.source} stands within what it names, without an end`, at)
      targets.set(node, target)
      within += 1
      const value = jsonOf(target, depth)
      within -= 1
      return value
    }
    if ('anchor' in node && node.anchor) anchors.set(node.anchor, node)
    if (isScalar(node)) return scalar(node.value, node.source)
    open.add(node)
    const value =
      isMap(node) || isOrdered(node) ? mapping(node.items as Pair[], depth) : list(node as YAMLSeq, depth)
    open.delete(node)
    return value
  }

  function list({ items }: YAMLSeq, depth: number): Json {
    return items.map((item) =>
      isPair(item) ? mapping([item], depth + 1) : jsonOf((item ?? null) as Node | null, depth + 1),
    )
  }

  function mapping(items: readonly Pair[], depth: number): JsonObject {
    const object: JsonObject = {}
    const seen = new Set<string>()
    for (const pair of items) {
      const [key, value] = [pair.key as Node | null, pair.value as Node | null]
      if (isMergeKey(key)) {
        for (const merged of mergedBy(value, depth)) {
          for (const [name, inner] of Object.entries(merged)) {
            if (!Object.hasOwn(object, name)) put(object, name, inner)
          }
        }
        continue
      }
      const name = keyText(key, depth)
      if (seen.has(name) && twice.length < TWICE_TOLD) twice.push({ key: name, at: key?.range?.[0] ?? 0 })
      seen.add(name)
      const inner = jsonOf(value, depth + 1)
      put(object, name, inner)
    }
    return object
  }

  /** `<<: *a` lays the keys of another mapping under the own ones; with a list the first goes over the next. */
  function mergedBy(value: Node | null, depth: number): JsonObject[] {
    const merged = jsonOf(value, depth + 1)
    const sources = Array.isArray(merged) ? merged : [merged]
    return sources.map((source) => {
      if (isObject(source)) return source
      throw new Refused('what << merges must be a mapping, or a list of mappings', value?.range?.[0] ?? 0)
    })
  }

  function keyText(key: Node | null, depth: number): string {
    if (key === null) return ''
    const value = jsonOf(key, depth + 1)
    if (typeof value !== 'object') return String(value)
    // A key that is a list or mapping is what was written.
    const [start, end] = key.range ?? [0, 0]
    return value === null ? '' : text.slice(start, end)
  }

  const root = jsonOf(contents, 0)
  const indexes = new Map<Node, Map<string, { key: Node; value: Node | null }>>()
  return {
    root,
    twice,
    visited,
    member(parent, key) {
      const node = targets.get(parent) ?? parent
      if (isMap(node) || isOrdered(node)) {
        let index = indexes.get(node)
        if (index === undefined) {
          index = new Map()
          for (const pair of node.items as Pair<Node, Node | null>[]) {
            const name = isScalar(pair.key) ? String(pair.key.value ?? '') : rangeText(pair.key)
            if (pair.key !== null && !index.has(name)) index.set(name, { key: pair.key, value: pair.value })
          }
          indexes.set(node, index)
        }
        return index.get(String(key))
      }
      if (!isSeq(node)) return undefined
      const item = node.items[Number(key)] as Node | Pair<Node, Node | null> | undefined
      if (item === undefined || item === null) return undefined
      return isPair(item) ? { key: item.key, value: item.value } : { key: item, value: item }
    },
  }

  function rangeText(node: Node | null): string {
    const [start, end] = node?.range ?? [0, 0]
    return text.slice(start, end)
  }
}

function isMergeKey(key: Node | null): boolean {
  if (!isScalar(key) || (key.type !== undefined && key.type !== 'PLAIN')) return false
  const { value } = key
  return value === '<<' || (typeof value === 'symbol' && value.description === '<<')
}

/** YAML 1.1 has a mapping that is written as a list. */
function isOrdered(node: Node): node is YAMLSeq & YAMLMap {
  return isSeq(node) && node.tag === 'tag:yaml.org,2002:omap'
}

function scalar(value: unknown, source = ''): Json {
  switch (typeof value) {
    case 'bigint':
      return readNumber(String(value))
    case 'number':
      if (Number.isFinite(value)) return source.length < 16 ? value : readNumber(source)
      // Beyond what a double has; infinity itself has no form in JSON.
      return /\d/.test(source) ? source : null
    case 'string':
    case 'boolean':
      return value
    case 'symbol':
      return value.description ?? ''
  }
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  return null
}
