import type { Logger } from 'pino'
import type { Bus } from '../bus/bus.ts'
import type { Config } from '../config.ts'
import type { Children } from '../engine/children.ts'
import type { Claims } from '../engine/claims.ts'
import type { Engine } from '../engine/engine.ts'
import type { Letters } from '../engine/letters.ts'
import type { Plans } from '../engine/plans.ts'
import type { ToolDescription } from '../schemas/tool-description.ts'
import type { Pools } from '../store/pools.ts'
import type { PostgresMonitor } from '../store/postgres-monitor.ts'
import type { Waiting } from '../store/queue.ts'
import type { Store } from '../store/store.ts'
import type { Unserved } from '../store/unserved.ts'

/** What routes call: one engine function each, or one query. */
export interface Parts {
  config: Config
  log: Logger
  pools: Pools
  postgres: PostgresMonitor
  store: Store
  bus: Bus
  engine: Engine
  /** Lanes that there are. */
  lanes: { readonly names: readonly string[] }
  /** Places whose commands no worker takes. */
  unserved: Unserved
  claims: Claims
  children: Children
  letters: Letters
  plans: Plans
  /** A new id, above all that were made here before and above `after`. */
  newId(after?: string): string
  announce(commands: Waiting[], again?: boolean): void
  /** Commands that workers were shown, for they had heard of none: `upkeep/announce.ts` wants to know. */
  shown: { note(command: Waiting): void; take(): Waiting | undefined }
  /** Tool kinds that playbooks may use now. */
  toolKinds(): Promise<string[]>
  /** Plugins that this server started without. */
  brokenPlugins: readonly { name: string; code: string }[]
  /** What the tools installed here say of themselves. */
  tools(): Promise<readonly ToolDescription[]>
}
