import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'

/**
 * SHA-256 over a package's files in the order of their names, each with its name and length; packages that were
 * installed within it are left out.
 */
export async function digestOf(folder: string): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await filesOf(folder, '')).sort()) {
    const content = await readFile(join(folder, name))
    hash.update(`${name.split(sep).join('/')}\0${content.length}\0`).update(content)
  }
  return `sha256-${hash.digest('hex')}`
}

async function filesOf(root: string, folder: string): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const name = join(folder, entry.name)
    if (entry.isDirectory()) {
      if (entry.name !== 'node_modules') found.push(...(await filesOf(root, name)))
    } else if (entry.isFile()) found.push(name)
  }
  return found
}
