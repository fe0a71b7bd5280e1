import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { ToolError } from '@noetl/core'

/** The folder to run in: the step's, from the tool's own. Throws ToolError `schema` when there is none. */
export async function folderOf(given: string | null | undefined, base: string): Promise<string> {
  const folder = resolve(base, given ?? '')
  const found = await stat(folder).catch((error: NodeJS.ErrnoException) => error)
  // Checked here, because the system blames a missing folder on the shell.
  if (found instanceof Error || !found.isDirectory()) {
    const why = found instanceof Error ? ` (${found.code ?? found.message})` : ''
    throw new ToolError('schema', `"${folder}" under cwd is no folder that can be used${why}.`)
  }
  return folder
}

/** The file of a shell, by the worker's PATH: the step's own PATH is for what the shell runs. */
export async function programOf(shell: string, path: string | undefined): Promise<string> {
  if (shell.includes('/')) return shell
  for (const folder of (path ?? '/usr/bin:/bin').split(delimiter)) {
    const file = join(folder, shell)
    const runs = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (folder !== '' && runs) return file
  }
  return shell
}
