import { getCatalogEntry } from './catalog.ts'
import { commitTransitions, type Transition } from './commit.ts'
import {
  findLost,
  type LetterFilter,
  listLetters,
  type NewLetter,
  parkLost,
  retryLetters,
  seizeLetter,
} from './dead-letters.ts'
import { findStalled, loadExecution } from './executions.ts'
import type { Pools } from './pools.ts'
import {
  type Claim,
  claimCommands,
  forgetAnnouncements,
  leasedUnder,
  lookAtCommands,
  makeDue,
  readCommand,
  releaseLeases,
  renewLeases,
  rescueExpired,
  takeUnclaimed,
} from './queue.ts'
import { tellLate, wasRecorded } from './reports.ts'
import { loadWhole } from './results.ts'
import { loadEvents, loadIterations, loadResults } from './values.ts'
import { findWaits } from './waits.ts'

/**
 * What engine, upkeep and the routes of leases ask of Postgres: all that executions and commands go through.
 * Routes that only show things ask the pools themselves.
 */
export type Store = ReturnType<typeof makeStore>

/** Whether an answer waits for the disk is said here, in one place: see `Pools`. */
export function makeStore({ durable, relaxed }: Pools) {
  return {
    commitTransitions: (transitions: Transition[]) => commitTransitions(durable, transitions),
    getCatalogEntry: (key: Parameters<typeof getCatalogEntry>[1]) => getCatalogEntry(durable, key),

    loadExecution: (executionId: string) => loadExecution(durable, executionId),
    loadEvents: (executionId: string, eventIds: string[]) => loadEvents(durable, executionId, eventIds),
    loadResults: (executionId: string, steps: string[], before?: string) =>
      loadResults(durable, executionId, steps, before),
    loadIterations: (executionId: string, runId: string) => loadIterations(durable, executionId, runId),
    loadWhole: (executionId: string, resultId: string) => loadWhole(durable, executionId, resultId),

    claimCommands: (claims: Claim[], leaseSeconds: number) => claimCommands(relaxed, claims, leaseSeconds),
    leasedUnder: (executionId: string, token: string) => leasedUnder(durable, executionId, token),
    lookAtCommands: (ids: Parameters<typeof lookAtCommands>[1]) => lookAtCommands(relaxed, ids),
    readCommand: (commandId: string) => readCommand(durable, commandId),
    renewLeases: (leases: Parameters<typeof renewLeases>[1], leaseSeconds: number) =>
      renewLeases(relaxed, leases, leaseSeconds),
    releaseLeases: (leases: Parameters<typeof releaseLeases>[1]) => releaseLeases(durable, leases),
    rescueExpired: (limit: number, newId: (after: string) => string) => rescueExpired(relaxed, limit, newId),

    takeUnclaimed: (options: Parameters<typeof takeUnclaimed>[1]) => takeUnclaimed(relaxed, options),
    forgetAnnouncements: () => forgetAnnouncements(relaxed),
    makeDue: (commands: Parameters<typeof makeDue>[1]) => makeDue(relaxed, commands),

    wasRecorded: (executionId: string, report: Parameters<typeof wasRecorded>[2]) =>
      wasRecorded(durable, executionId, report),
    tellLate: (event: Parameters<typeof tellLate>[1]) => tellLate(durable, event),

    findStalled: (seconds: number, limit: number) => findStalled(relaxed, seconds, limit),
    findWaits: (limit: number) => findWaits(relaxed, limit),

    findLost: (limit: number) => findLost(durable, limit),
    parkLost: (letters: (NewLetter & { execution_id: string })[]) => parkLost(durable, letters),
    listLetters: (filter: LetterFilter, limit: number) => listLetters(durable, filter, limit),
    retryLetters: (letters: Parameters<typeof retryLetters>[1]) => retryLetters(durable, letters),
    seizeLetter: (letter: Parameters<typeof seizeLetter>[1]) => seizeLetter(durable, letter),
  }
}
