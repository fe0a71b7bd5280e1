import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'

const BLOCK = 512
const MOST_BYTES = 512 * 1024 * 1024

/** Text of one file in a package's tarball, before anything of it is unpacked; undefined when it is not there. */
export async function fileInTarball(tarball: string, name: string): Promise<string | undefined> {
  const bytes = await promisify(gunzip)(await readFile(tarball), { maxOutputLength: MOST_BYTES })
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0; ) {
    const text = (from: number, length: number) =>
      bytes.toString('utf8', at + from, at + from + length).replace(/\0.*$/s, '')
    const size = Number.parseInt(text(124, 12), 8) || 0
    if (text(0, 100) === name) return bytes.toString('utf8', at + BLOCK, at + BLOCK + size)
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK
  }
  return undefined
}
