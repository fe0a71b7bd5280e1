import { type Logger, pino } from 'pino'

/** Never shown, at the top of a line's facts and one level below. */
const SECRET = [
  ...['token', 'password', 'passwd', 'secret', 'authorization', 'Authorization', 'cookie', 'credentials'],
  ...['apiToken', 'api_token', 'apiKey', 'api_key', 'access_token', 'refresh_token', 'client_secret'],
  ...['private_key', 'encryptionKey', 'databaseUrl', 'dsn', 'connectionString'],
]
const REDACTED = SECRET.flatMap((name) => [name, `*.${name}`, `*.headers.${name}`, `headers.${name}`])

/** The log of a process: JSON lines on standard output, errors with their stack. */
export function makeLog(level: string, destination: 1 | 2 = 1): Logger {
  return pino({ level, redact: REDACTED }, pino.destination({ fd: destination, sync: true }))
}
