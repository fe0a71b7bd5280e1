/** What `noetlctl` ends with, so that scripts can tell. */
export const EXIT = {
  done: 0,
  /** The execution FAILED or was CANCELLED, or the command itself went wrong. */
  failed: 1,
  /** Unknown command or flag, missing argument. */
  usage: 2,
  /** A playbook or payload with faults. */
  invalid: 3,
  notFound: 5,
  /** No server, Postgres or NATS answers. */
  unreachable: 7,
  /** The time given with --timeout was up; the execution goes on. */
  timedOut: 124,
} as const

/** The exit code that an error calls for. */
export function exitCodeOf(error: {
  code?: unknown
  statusCode?: unknown
  oclif?: { exit?: unknown }
}): number {
  const code = String(error.code ?? '')
  if (/_UNREACHABLE$/.test(code)) return EXIT.unreachable
  if (/_NOT_FOUND$/.test(code) || error.statusCode === 404) return EXIT.notFound
  if (
    /^NOETL_ERR_(PLAYBOOK|REQUEST|CONFIG)_/.test(code) ||
    error.statusCode === 400 ||
    error.statusCode === 422
  ) {
    return EXIT.invalid
  }
  return typeof error.oclif?.exit === 'number' ? error.oclif.exit : EXIT.failed
}
