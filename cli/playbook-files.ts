import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { makeError } from '@noetl/core'
import { readStandardInput } from './standard-input.ts'

/** Texts of the named files, of the YAML files in named folders, and of standard input for `-`. */
export async function readPlaybookFiles(
  names: string[],
  recursive: boolean,
): Promise<{ name: string; text: string }[]> {
  const texts: { name: string; text: string }[] = []
  for (const name of names) {
    if (name === '-') texts.push({ name: 'standard input', text: await readStandardInput() })
    else
      for (const file of await filesOf(name, recursive))
        texts.push({ name: file, text: await readFile(file, 'utf8') })
  }
  return texts
}

async function filesOf(name: string, recursive: boolean): Promise<string[]> {
  const about = await stat(name).catch((cause: Error) => {
    throw makeError('NOETL_ERR_REQUEST_INVALID', [`${name} cannot be read: ${cause.message}`], { cause })
  })
  if (!about.isDirectory()) return [name]
  const found = (await readdir(name, { recursive, withFileTypes: true }))
    .filter((entry) => entry.isFile() && /\.ya?ml$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  if (found.length > 0) return found
  throw makeError('NOETL_ERR_REQUEST_INVALID', [
    `the folder ${name} holds no .yaml file${recursive ? '' : '; --recursive looks deeper'}`,
  ])
}
