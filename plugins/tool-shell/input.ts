import { ToolError } from '@noetl/core'
import { type Static, Type } from 'typebox'

const maybe = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]))

const named = Type.Record(Type.String(), Type.Unknown())

const seconds = Type.Union([
  Type.Number({ exclusiveMinimum: 0 }),
  // A workload given on a command line holds text.
  Type.String({ pattern: '^[0-9]+([.][0-9]+)?$' }),
])

const commands = Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 1000 })])

/** The fields of a shell step. A field that renders to null counts as not given. */
export const input = Type.Object(
  {
    cmds: maybe(commands),
    command: maybe(commands),
    cmd: maybe(commands),
    script: maybe(Type.String({ description: 'As command, of many lines' })),
    cwd: maybe(Type.String({ description: 'Folder to run in' })),
    env: maybe(named),
    shell: maybe(Type.String({ minLength: 1, description: 'Program that takes -c; default sh' })),
    timeout: maybe(seconds),
    timeout_seconds: maybe(seconds),
    input: maybe(named),
  },
  { additionalProperties: true },
)

/** Fields whose templates give text. */
export const textFields = ['cmds', 'command', 'cmd', 'script'] as const

const ended = {
  exit_code: Type.Integer(),
  stdout: Type.String(),
  stderr: Type.String(),
}

/** What a shell step gives: the output of all commands joined, and of several also each one's own. */
export const output = Type.Object(
  { ...ended, commands: Type.Optional(Type.Array(Type.Object(ended, { additionalProperties: false }))) },
  { additionalProperties: false },
)

export type ShellInput = Static<typeof input>

/** Linux takes 128 KiB for one argument of a program, its end included. */
const MAX_COMMAND_BYTES = 128 * 1024 - 1

/** The commands to run, in order: of the first field that is given. Throws ToolError `schema`. */
export function commandsOf(fields: ShellInput): string[] {
  const given = fields.cmds ?? fields.command ?? fields.cmd ?? fields.script ?? []
  const commands = typeof given === 'string' ? [given] : given
  if (commands.every((command) => command.trim() === '')) {
    throw new ToolError(
      'schema',
      'The shell tool needs "cmds" or "command"; it is missing or rendered to nothing.',
    )
  }
  for (const [i, command] of commands.entries()) {
    if (command.includes('\0'))
      throw new ToolError(
        'schema',
        `${nameOf(i, commands.length)} holds a NUL character, which no command can.`,
      )
    const bytes = Buffer.byteLength(command)
    if (bytes > MAX_COMMAND_BYTES) {
      throw new ToolError(
        'schema',
        `${nameOf(i, commands.length)} has ${bytes} bytes, and at most ${MAX_COMMAND_BYTES} can be run: keep data out of its text (a file, a variable under env).`,
      )
    }
  }
  return commands
}

/** A command as messages name it: by its place, because its text may hold a secret. */
export function nameOf(index: number, count: number): string {
  return count === 1 ? 'The command' : `Command ${index + 1} of ${count}`
}
