import type { Teardown } from '../support/teardown.ts'
import { type ClusterOptions, closeClients, faultCluster } from './cluster.ts'
import type { Fault } from './faults.ts'
import { startLedger } from './ledger.ts'
import { startLoad } from './load.ts'
import { type Figures, measure, untilEnded } from './measure.ts'

export interface TrialOptions extends ClusterOptions {
  executions: number
  perSecond: number
  /** Paths of the playbooks to run; all of them when absent. */
  cases?: string[]
  /** Once the fault is over and all are accepted, how long executions have to end. */
  patienceMs: number
}

/** Runs a load, does the harm when two fifths of it are under way, and says what it has cost. */
export async function trial(t: Teardown, fault: Fault, options: TrialOptions): Promise<Figures> {
  t.teardown(closeClients)
  const cluster = await faultCluster(t, { nats: fault.nats ?? 'single', ...options })
  const ledger = await startLedger(t)
  const load = await startLoad(cluster, { ...options, ledger: ledger.url })
  let at = 0
  let victim: string | undefined
  const about = {
    loadEnds: load.all,
    hit(worker: string) {
      victim = worker
      at = Date.now()
    },
  }
  const midst = load.reached(Math.ceil(options.executions * 0.4)).then(() => {
    at = Date.now()
  })
  await (fault.early ? load.reached(1) : midst)
  const [started] = await Promise.all([load.all, fault.inject(cluster, about), midst])
  await untilEnded(cluster, options.patienceMs)
  return measure(cluster, { started, calls: ledger.calls, at, victim })
}
