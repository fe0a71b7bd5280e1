import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { reasonOf, unpackPackages } from './debian-packages.ts'

const run = promisify(execFile)

/** What playbooks import beside Python's own library: the Postgres client, version 3, and what it needs. */
const PACKAGES = ['python3-psycopg', 'python3-typing-extensions']

/**
 * Makes psycopg importable for the python tool: it is there already, or was unpacked into `<dir>/python` before,
 * or the distribution's package is unpacked there now. Never fails: playbooks that do not import it need it not.
 * Returns a sentence for the user.
 */
export async function findPsycopg(options: { python: string; dir: string }): Promise<string> {
  const { python, dir } = options
  const folder = join(dir, 'python')
  const imports = (path?: string) =>
    run(python, ['-c', 'import psycopg; print(psycopg.__version__)'], {
      timeout: 20_000,
      env: { ...process.env, ...(path === undefined ? {} : { PYTHONPATH: path }) },
    }).then(
      ({ stdout }) => stdout.trim(),
      () => undefined,
    )
  const own = await imports()
  if (own !== undefined) return `psycopg ${own}, installed`
  const before = await imports(folder)
  if (before !== undefined) return `psycopg ${before}, unpacked before`
  const work = await mkdtemp(join(tmpdir(), 'noetl-python-'))
  try {
    const unpacked = await unpackPackages(PACKAGES, work)
    await mkdir(dir, { recursive: true })
    await cp(join(unpacked, 'usr/lib/python3/dist-packages'), `${folder}.new`, { recursive: true })
    await rm(folder, { recursive: true, force: true })
    await rename(`${folder}.new`, folder)
    const got = await imports(folder)
    if (got !== undefined) return `psycopg ${got}, the distribution's package, unpacked into ${folder}`
    return `psycopg does not run here (is libpq there?); python code that imports it fails. Install it with: ${python} -m pip install psycopg`
  } catch (error) {
    return `psycopg could not be got (${reasonOf(error)}); python code that imports it fails. Install it with: ${python} -m pip install psycopg`
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
