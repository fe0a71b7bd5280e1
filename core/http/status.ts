import type { FastifyInstance } from 'fastify'
import type pg from 'pg'
import { COUNTED, loadCounts } from '../store/counts.ts'
import { listExecutions } from '../store/executions.ts'
import { presentRow } from './execution-view.ts'
import type { Parts } from './parts.ts'

/** How the server is, for the screens of clients. What scrapers and probes read is in `health.ts`. */
export function statusRoutes(app: FastifyInstance, parts: Parts, prefix: string, version: string): void {
  const { durable, relaxed } = parts.pools
  const started = Date.now()

  app.get(`${prefix}/status`, { schema: { summary: 'What the server is and does' } }, async () => {
    const { running, queued, workers } = await loadCounts(durable)
    return {
      status: 'ok',
      version,
      uptime_seconds: Math.round((Date.now() - started) / 1000),
      postgres: 'ok',
      nats: parts.bus.connected() ? 'ok' : 'away',
      running_executions: running,
      queued_commands: queued,
      workers,
      busy_executions: parts.engine.busy,
    }
  })

  app.get(`${prefix}/pool/status`, { schema: { summary: 'Connections to Postgres' } }, () => ({
    status: 'ok',
    pools: [describePool('durable', durable), describePool('relaxed', relaxed)],
  }))

  app.get(`${prefix}/dashboard/stats`, { schema: { summary: 'Figures for a dashboard' } }, async () => {
    const { executions, running, playbooks, workers, queued } = await loadCounts(durable)
    const stats = {
      total_executions: Object.values(executions).reduce((sum, count) => sum + count, 0),
      successful_executions: executions.COMPLETED ?? 0,
      failed_executions: executions.FAILED ?? 0,
      cancelled_executions: executions.CANCELLED ?? 0,
      active_executions: running,
      total_playbooks: playbooks,
      active_workers: workers,
      queued_commands: queued,
      counted_executions: COUNTED,
    }
    return { status: 'ok', ...stats, stats }
  })

  app.get(`${prefix}/dashboard/widgets`, { schema: { summary: 'Parts of a dashboard' } }, async () => {
    const [{ executions, workers, queued }, newest] = await Promise.all([
      loadCounts(durable),
      listExecutions(durable, { limit: 10, offset: 0 }),
    ])
    const widgets = [
      { id: 'executions', type: 'counts', title: 'Executions by status', data: executions },
      { id: 'newest', type: 'table', title: 'Newest executions', data: newest.map((row) => presentRow(row)) },
      { id: 'workers', type: 'number', title: 'Workers', data: workers },
      { id: 'queue', type: 'number', title: 'Commands that wait', data: queued },
    ]
    return { status: 'ok', widgets, count: widgets.length }
  })
}

function describePool(name: string, pool: pg.Pool): object {
  const { totalCount: total, idleCount: idle, waitingCount: waiting } = pool
  return { name, max: pool.options.max, total, idle, in_use: total - idle, waiting }
}
