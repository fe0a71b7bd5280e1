import { makeError } from '../errors.ts'
import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { readDocument } from './document.ts'

/** What the catalog files a document under. */
export interface Description {
  path: string
  kind: string
  name: string
}

/** Reads path, kind and name of any document. Throws NOETL_ERR_PLAYBOOK_YAML or NOETL_ERR_PLAYBOOK_INVALID. */
export function describeDocument(text: string): Description {
  return describe(readDocument(text).root)
}

export const PATH_MISSING = 'metadata.path is missing; it names the playbook in the catalog'

/** A leading slash of the path is kept: it is part of the name. */
export function describe(root: JsonObject): Description {
  const { path, ...rest } = descriptionOf(root)
  if (path !== undefined) return { ...rest, path }
  throw makeError('NOETL_ERR_PLAYBOOK_INVALID', [`line 1, column 1: ${PATH_MISSING}`], {
    details: { faults: [{ message: PATH_MISSING, line: 1, column: 1, path: 'metadata.path' }] },
  })
}

/** The same of a document that may have no path. */
export function descriptionOf(root: JsonObject): Omit<Description, 'path'> & { path: string | undefined } {
  const metadata = isObject(root.metadata) ? root.metadata : {}
  const path = firstText(metadata.path, root.path, metadata.name, root.name)
  const name = firstText(metadata.name, root.name) ?? path ?? ''
  return { path, kind: firstText(root.kind) ?? 'Playbook', name }
}

function firstText(...values: (Json | undefined)[]): string | undefined {
  return values.find((value): value is string => typeof value === 'string' && value.trim() !== '')
}
