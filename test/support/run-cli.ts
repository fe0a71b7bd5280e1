import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const CLI = fileURLToPath(new URL('../../cli/bin/dev.js', import.meta.url))

/** Runs `noetlctl` to its end, with an environment that holds nothing of the surroundings but PATH and HOME. */
export function runCli(
  args: string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; cwd?: string } = {},
): Promise<{ code: number | null; out: string; err: string; json: () => Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const { PATH, HOME } = process.env
    const child = spawn(
      process.execPath,
      ['--conditions=@noetl/source', `--import=${import.meta.resolve('tsx')}`, CLI, ...args],
      {
        env: { PATH, HOME, NO_COLOR: '1', ...options.env },
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
    )
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, out, err, json: () => JSON.parse(out) }))
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
  })
}
