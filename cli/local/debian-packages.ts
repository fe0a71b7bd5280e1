import { execFile } from 'node:child_process'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Packages of apt, downloaded and unpacked into a folder below `work` as an ordinary user can; with lists of
 * its own when there are none. Nothing of the system changes. Returns the folder.
 */
export async function unpackPackages(names: readonly string[], work: string): Promise<string> {
  const download = (args: string[]) =>
    run('apt-get', [...args, 'download', ...names], { cwd: work, timeout: 120_000 })
  try {
    await download([])
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') throw new Error('there is no apt-get')
    const state = join(work, 'state')
    await mkdir(join(state, 'lists', 'partial'), { recursive: true })
    const own = [
      '-o',
      `Dir::State::Lists=${join(state, 'lists')}`,
      '-o',
      `Dir::Cache=${state}`,
      '-o',
      'APT::Sandbox::User=',
    ]
    await run('apt-get', [...own, 'update'], { timeout: 180_000 })
    await download(own)
  }
  const files = (await readdir(work)).filter((name) => name.endsWith('.deb'))
  if (files.length < names.length)
    throw new Error(`apt-get brought ${files.length} of ${names.length} packages`)
  const unpacked = join(work, 'unpacked')
  for (const file of files) await run('dpkg', ['-x', join(work, file), unpacked])
  return unpacked
}

/** Why a command or a request failed, in one line. */
export function reasonOf(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string }
  const text = stderr?.trim().split('\n').at(-1) || message
  const cause = (error as { cause?: Error }).cause?.message
  return cause === undefined || stderr ? text : `${text} (${cause})`
}
