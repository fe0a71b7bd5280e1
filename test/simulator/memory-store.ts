import type { CatalogEntry } from '../../core/store/catalog.ts'
import type { Store } from '../../core/store/store.ts'
import { commitChanges } from './memory-commit.ts'
import { letterStatements } from './memory-letters.ts'
import { queueStatements } from './memory-queue.ts'
import { readStatements } from './memory-reads.ts'
import { makeTables, type Tables } from './tables.ts'

/**
 * The store in memory: each statement of `core/store` done at once, with the same answers and the same rows.
 * `contract.test.ts` holds the two against each other.
 */
export type Statements = {
  [K in Exclude<keyof Store, 'rescueExpired'>]: (
    ...given: Parameters<Store[K]>
  ) => Awaited<ReturnType<Store[K]>>
} & {
  /** The two statements of `rescueExpired`: what the first says is told by the second. */
  rescue(limit: number): ReturnType<ReturnType<typeof queueStatements>['rescue']>
  tellExpired(events: Parameters<ReturnType<typeof queueStatements>['tellExpired']>[0]): void
}

export function makeMemoryStore(now: () => number): { statements: Statements; tables: Tables } {
  const tables = makeTables(now)
  const statements: Statements = {
    commitTransitions: (transitions) => commitChanges(tables, transitions),
    getCatalogEntry: (key) => findEntry([...tables.catalog.values()], key),
    ...queueStatements(tables),
    ...letterStatements(tables),
    ...readStatements(tables),
  }
  return { statements, tables }
}

function findEntry(
  entries: CatalogEntry[],
  key: Parameters<Store['getCatalogEntry']>[0],
): CatalogEntry | undefined {
  if ('catalogId' in key) return entries.find((entry) => entry.catalog_id === key.catalogId)
  return entries
    .filter(
      (entry) =>
        entry.path === key.path &&
        (key.version === undefined || entry.version === key.version) &&
        (key.archived === true || entry.archived_at === null),
    )
    .sort((a, b) => b.version - a.version)[0]
}
