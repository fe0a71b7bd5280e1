import { type Logger, pino } from 'pino'

/** The log of a process: JSON lines on standard output, errors with their stack. */
export function makeLog(level: string, destination: 1 | 2 = 1): Logger {
  return pino(
    { level, redact: ['token', '*.token', 'password', '*.password'] },
    pino.destination({ fd: destination, sync: true }),
  )
}
