import { constants } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { ToolError } from '@noetl/core'
import type { Provider } from './provider.ts'
import { nameOf } from './references.ts'

/** Files of one folder and those below it, as Docker and Kubernetes mount secrets. Nothing outside is read. */
export function fileProvider(options: { folder: string | undefined }): Provider {
  return {
    async open(_fields, reading) {
      const { folder } = options
      if (folder === undefined) {
        throw new ToolError(
          'auth',
          'This worker reads no secrets from files: name their folder with the option fileFolder.',
        )
      }
      return async (name) => {
        if (name === '' || name.includes('\0') || name.startsWith('/') || name.split('/').includes('..'))
          throw outside(name)
        try {
          const bytes = await readInside(folder, name, reading.maxBytes)
          return { bytes: withoutLineEnd(bytes), isJson: false }
        } catch (error) {
          throw error instanceof ToolError ? error : failure(name, error)
        }
      }
    },
  }
}

async function readInside(folder: string, name: string, maxBytes: number): Promise<Buffer> {
  const base = await realpath(folder)
  // Links within the folder are how Kubernetes swaps secrets; one that leads out is no secret of this folder.
  const path = await realpath(join(base, name))
  if (!path.startsWith(base.endsWith(sep) ? base : base + sep)) throw outside(name)
  // Not following a link that was put there since, not waiting for a pipe's other end.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const about = await file.stat()
    if (!about.isFile()) throw new ToolError('not_found', `${nameOf(name)} is no file.`)
    const bytes = Buffer.alloc(maxBytes + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length)
      length += bytesRead
      if (length > maxBytes) {
        throw new ToolError(
          'tool_error',
          `${nameOf(name)} has more than ${maxBytes} bytes, the limit for one secret.`,
        )
      }
      if (bytesRead === 0) return bytes.subarray(0, length)
    }
  } finally {
    await file.close()
  }
}

/** Editors and `echo` end a file with a line end that is not part of the secret. */
function withoutLineEnd(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
}

function outside(name: string): ToolError {
  return new ToolError('auth', `${nameOf(name)} may not be read: it is not inside the folder of secrets.`)
}

function failure(name: string, error: unknown): ToolError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const options = { cause: error, ...(code === '' ? {} : { code }) }
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
      return new ToolError('not_found', `${nameOf(name)} is not in the folder of secrets.`, options)
    case 'EACCES':
    case 'EPERM':
    case 'ELOOP':
      return new ToolError('auth', `${nameOf(name)} may not be read by the worker (${code}).`, options)
    default:
      return new ToolError('storage_access', `${nameOf(name)} could not be read (${code}).`, options)
  }
}
