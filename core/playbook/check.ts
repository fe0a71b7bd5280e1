import type { JsonObject } from '../schemas/json.ts'
import type { Playbook } from '../schemas/playbook.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import { checkArcs } from './check-arcs.ts'
import { checkCycles } from './check-cycles.ts'
import { checkQuotes } from './check-quotes.ts'
import { checkShape } from './check-shape.ts'
import { checkSets, checkTemplates } from './check-templates.ts'
import { checkTools } from './check-tools.ts'
import type { Faults } from './faults.ts'

/**
 * What is looked at when a playbook is registered or validated, beyond what it takes to compile it. It goes over
 * the document as it is written, whatever its dialect, for there everything has its place; the compiled form
 * tells which step leads to which.
 */
export function checkPlaybook(
  playbook: Playbook,
  root: JsonObject,
  about: { tools: readonly ToolDescription[]; faults: Faults },
): void {
  const { tools, faults } = about
  checkQuotes(root, faults)
  checkShape(root, faults)
  checkTools(root, tools, faults)
  checkArcs(playbook, faults)
  checkCycles(playbook, root, faults)
  checkSets(root, faults)
  checkTemplates(playbook, root, faults)
}
