/** How much a playbook may be, where it comes in from outside. */
export interface PlaybookLimits {
  /** Bytes of its text, in UTF-8. */
  bytes: number
  /** Keys and values of its document; what an alias stands for counts each time. */
  nodes: number
  steps: number
  /** Ways from step to step: arcs, and targets of reactions. */
  arcs: number
}

export const PLAYBOOK_LIMITS: Readonly<PlaybookLimits> = Object.freeze({
  bytes: 1024 * 1024,
  nodes: 100_000,
  steps: 2000,
  arcs: 20_000,
})
