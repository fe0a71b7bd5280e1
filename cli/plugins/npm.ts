import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeError } from '@noetl/core'

const LIMIT_MS = 10 * 60_000
const KEPT = 20_000

/**
 * Runs npm in a folder and gives its standard output. Peers are the gateway's own and are not installed; scripts
 * of packages do not run unless that was asked for.
 */
export async function npm(
  args: readonly string[],
  { cwd, scripts = false }: { cwd: string; scripts?: boolean },
): Promise<string> {
  const flags = ['--no-audit', '--no-fund', '--loglevel=error', '--legacy-peer-deps']
  if (!scripts) flags.push('--ignore-scripts')
  const child = spawn(npmCommand(), [...args, ...flags], {
    cwd,
    env: plainEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    shell: process.platform === 'win32',
  })
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = (err + text).slice(-KEPT)
  })
  const status = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(code ?? signal ?? 1))
  })
  if (status === 0) return out
  const why =
    err
      .trim()
      .split('\n')
      .filter((line) => !/complete log of this run|npm (error|ERR!) A complete|\.log$/.test(line))
      .map((line) => line.replace(/^npm (error|ERR!) ?/, ''))
      .filter((line) => line.trim() !== '')
      .join('\n  ') || `npm ended with ${status}`
  throw makeError('NOETL_ERR_PLUGIN_INSTALL', [`npm ${args[0]} did not work:\n  ${why}`])
}

/** The npm beside this Node, or the one on PATH. */
function npmCommand(): string {
  const name = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const beside = join(dirname(process.execPath), name)
  return existsSync(beside) ? beside : name
}

/** Without what an npm around us would have ours do elsewhere. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const foreign =
    /^npm_(package_|lifecycle_|config_(local_prefix|workspaces?|include_workspace_root|global|dry_run|omit|json)$)|^NODE_OPTIONS$|^INIT_CWD$/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}
