import { mkdir, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

/**
 * Writes a file of variables that a shell reads with `. file`, for its owner alone. Returns the words to type
 * in the current folder.
 */
export async function writeEnvironmentFile(
  folder: string,
  variables: Readonly<Record<string, string>>,
): Promise<string> {
  await mkdir(folder, { recursive: true })
  const file = join(folder, 'environment')
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${quoteForShell(value)}\n`)
  await writeFile(file, lines.join(''), { mode: 0o600 })
  const near = relative(process.cwd(), file)
  // Without a slash a shell would look for it on PATH.
  const place = near.startsWith('..') ? file : near.includes('/') ? near : `./${near}`
  return `set -a; . ${/^[\w./-]+$/.test(place) ? place : quoteForShell(place)}; set +a`
}

/** A word of a POSIX shell that means exactly this text. */
export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
