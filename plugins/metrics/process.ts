import type { Gateway } from '@noetl/core'
import type { Instruments } from './instruments.ts'

const LAG_MS = 100

/** What is told of the process itself; `look` brings the figures up to date. */
export function aboutProcess(gateway: Gateway, instruments: Instruments): { look(): void; close(): void } {
  const { role, version, plugins } = gateway
  instruments.set('noetl_build_info', { role, version, node: process.versions.node }, 1)
  for (const plugin of plugins) {
    instruments.set('noetl_plugin_info', { plugin: plugin.name, version: plugin.version }, 1)
  }
  instruments.set('process_start_time_seconds', {}, Math.round(performance.timeOrigin) / 1000)

  let due = performance.now() + LAG_MS
  const timer = setInterval(() => {
    const now = performance.now()
    instruments.observe('noetl_event_loop_lag_seconds', {}, Math.max(0, now - due) / 1000)
    due = now + LAG_MS
  }, LAG_MS)
  timer.unref()

  let used = 0
  return {
    look() {
      const { user, system } = process.cpuUsage()
      const seconds = (user + system) / 1e6
      instruments.count('process_cpu_seconds_total', {}, seconds - used)
      used = seconds
      instruments.set('process_resident_memory_bytes', {}, process.memoryUsage.rss())
      instruments.set('noetl_bus_connected', {}, gateway.busConnected() ? 1 : 0)
    },
    close: () => clearInterval(timer),
  }
}
