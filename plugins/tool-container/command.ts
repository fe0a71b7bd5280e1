import { type Json, type JsonObject, ToolError } from '@noetl/core'
import { asText, field, textList } from './fields.ts'

/** Linux takes no argument of 128 KiB or more; the text must fit in one. */
const MAX_SCRIPT_BYTES = 120 * 1024

/**
 * Text that Kubernetes leaves as it is: in commands, arguments and variables it reads `$(NAME)` as the
 * value of a variable and `$$` as one `$`.
 */
export function literal(text: string): string {
  return text.replaceAll('$', '$$$$')
}

/** The command of a container: a list as Kubernetes takes it, a text as one for the shell of the image. */
export function commandOf(job: JsonObject): string[] | undefined {
  const given = field(job, 'command')
  if (given === undefined || given === '') return undefined
  return Array.isArray(given) ? given.map(asText) : ['sh', '-c', literal(asText(given))]
}

export function argsOf(job: JsonObject): string[] {
  return textList(job, 'args')
}

/**
 * The command that runs a script: its interpreter with the text as an argument. The text is in the Job
 * itself, which is then made, found again and removed as one thing.
 */
export function scriptCommand(script: {
  text: string
  /** The interpreter, where the step names one. */
  command: Json | undefined
  /** Where the text came from, and the image it runs in: they tell the interpreter where nothing else does. */
  uri: string
  image: string
  args: readonly string[]
}): string[] {
  const { text, command, uri, image, args } = script
  const bytes = Buffer.byteLength(text)
  if (text.trim() === '') throw new ToolError('schema', 'The script is empty.')
  if (text.includes('\0')) throw new ToolError('schema', 'A script cannot hold the character U+0000.')
  if (bytes > MAX_SCRIPT_BYTES) {
    throw new ToolError(
      'schema',
      `The script has ${bytes} bytes, more than the ${MAX_SCRIPT_BYTES} that a command can carry: put it into the image, or let a short one fetch it.`,
    )
  }
  const interpreter =
    Array.isArray(command) && command.length > 0
      ? command.map(asText)
      : withFlag(
          command === undefined || command === '' || Array.isArray(command)
            ? (shebang(text) ?? [byEnding(uri) ?? byImage(image) ?? 'sh'])
            : asText(command).trim().split(/\s+/),
        )
  // A shell takes the first argument after the text as its own name.
  const name = isShell(interpreter[0]!) ? ['script'] : []
  return [...interpreter, literal(text), ...name, ...args]
}

/** `#!/usr/bin/env python3`, `#!/bin/bash -e`. */
function shebang(text: string): string[] | undefined {
  const [, line] = /^#!\s*(\S[^\r\n]*)/.exec(text) ?? []
  if (line === undefined) return undefined
  const words = line.trim().split(/\s+/)
  return /\/env$/.test(words[0]!) ? words.slice(1).filter((word) => word !== '-S') : words
}

const ENDINGS: Readonly<Record<string, string>> = {
  py: 'python',
  sh: 'sh',
  bash: 'bash',
  js: 'node',
  mjs: 'node',
}

function byEnding(uri: string): string | undefined {
  const [, ending = ''] = /\.([a-z]+)$/.exec(uri.replace(/[?#].*$/s, '').toLowerCase()) ?? []
  return ENDINGS[ending]
}

function byImage(image: string): string | undefined {
  const [, name = ''] = /([^/:@]+)([:@][^/]*)?$/.exec(image) ?? []
  if (/^python/.test(name)) return 'python'
  return /^node(js)?$/.test(name) ? 'node' : undefined
}

/** Programs that run a text, by the flag that precedes it. */
const FLAGS: [program: RegExp, flag: string][] = [
  [/^python[0-9.]*$/, '-c'],
  [/^(ba|da|a|z|k)?sh$/, '-c'],
  [/^(node|nodejs|perl|ruby|bun)$/, '-e'],
]

function withFlag(words: string[]): string[] {
  const program = (words[0] ?? '').split('/').at(-1)!
  const [, flag] = FLAGS.find(([pattern]) => pattern.test(program)) ?? []
  if (flag === undefined) {
    throw new ToolError(
      'schema',
      `How "${program}" runs a text is not known: give "command" as a list to which the text is added, such as ["${program}", "-c"].`,
    )
  }
  return words.includes(flag) ? words : [...words, flag]
}

function isShell(program: string): boolean {
  return FLAGS[1]![0].test(program.split('/').at(-1)!)
}
