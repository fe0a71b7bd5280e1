import { makeError } from '../errors.ts'
import type { Json } from '../schemas/json.ts'
import type { PlaybookLimits } from '../schemas/playbook-limits.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { compilePlaybook, readPlaybook } from './compile.ts'
import { type Description, describe } from './describe.ts'
import { type ReadDocument, tooLarge } from './document.ts'
import type { Fault } from './faults.ts'

/** A document that somebody sent to the catalog, and what it is checked by. */
export interface Submission {
  /** YAML, plain or in base64. */
  content: string
  /** To be stored: then what only fails a step is a warning, and other kinds of documents are taken unseen. */
  register: boolean
  /** What it was sent as; said by a document that does not say itself what it is. */
  resourceType?: string
  limits: PlaybookLimits
  toolKinds: readonly string[]
  /** Lanes that there are. */
  lanes: readonly string[]
  tools: readonly ToolDescription[]
}

export interface Submitted {
  /** The text as it was written. */
  text: string
  about: Description
  workload: Json
  warnings: Fault[]
}

/** Characters of a path. It goes into an index, whose entries are short. */
const MAX_PATH = 500

/** Throws what `compilePlaybook` does, and NOETL_ERR_PLAYBOOK_INVALID for a name that the catalog does not take. */
export function readSubmission(submission: Submission): Submitted {
  const { register, resourceType, limits, toolKinds, tools, lanes } = submission
  const { text, document } = readContent(submission.content, limits)
  const { root } = document
  if (!register) {
    const { playbook, warnings } = compilePlaybook(document, { toolKinds, tools, lanes, limits })
    return { text, about: describe(root), workload: playbook.workload, warnings }
  }
  const about = describe(root)
  checkName('metadata.path', about.path, MAX_PATH)
  // The document's own word wins; a document that says nothing is what it was sent as.
  const kind = root.kind === undefined ? resourceType?.trim() || about.kind : about.kind
  checkName('kind', kind, 100)
  const told = { text, about: { ...about, kind } }
  if (kind.toLowerCase() !== 'playbook') return { ...told, workload: null, warnings: [] }
  const { playbook, warnings } = compilePlaybook(document, { toolKinds, tools, lanes, limits, lenient: true })
  return { ...told, workload: playbook.workload, warnings }
}

/** Names stand in indexes, messages and addresses: they are short and of one line. */
function checkName(field: string, name: string, limit: number): void {
  const wrong =
    name.length > limit
      ? `has ${name.length} characters; ${limit} at most were expected`
      : /\p{Cc}/u.test(name)
        ? 'has control characters'
        : undefined
  if (wrong === undefined) return
  const message = `${field} ${wrong}`
  throw makeError('NOETL_ERR_PLAYBOOK_INVALID', [message], {
    details: { faults: [{ message, line: 1, column: 1, path: field }] },
  })
}

/**
 * Content is YAML, plain or in base64: base64 if it decodes strictly and the result is a mapping. What is too much
 * even in base64 is refused before it is looked at.
 */
function readContent(content: string, limits: PlaybookLimits): { text: string; document: ReadDocument } {
  const most = Math.ceil(limits.bytes / 3) * 4
  const compact = content.length <= 2 * most ? content.replace(/\s+/g, '') : content
  if (compact.length > most && content.length > limits.bytes) {
    throw tooLarge(`${content.length} bytes or more`, limits.bytes)
  }
  if (compact.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(compact)) {
    const bytes = Buffer.from(compact, 'base64')
    const text = bytes.toString('utf8')
    // Words without a blank between them are base64 too: only with a colon it can have been a mapping.
    if (bytes.includes(COLON) && Buffer.from(text, 'utf8').equals(bytes)) {
      return { text, document: readPlaybook(text, limits) }
    }
  }
  return { text: content, document: readPlaybook(content, limits) }
}

const COLON = 58
