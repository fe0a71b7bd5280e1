import type pg from 'pg'

/** Where a value of ctx comes from: the events that set its name first and last. */
export interface VarOrigin {
  name: string
  created_at: Date
  event_type: string
  node_name: string | null
  /** `meta.source` of the last. */
  source: string | null
}

/** Of every name that was ever set in an execution. Events that set nothing are passed over by their type. */
export async function loadVarOrigins(pool: pg.Pool, executionId: string): Promise<Map<string, VarOrigin>> {
  const { rows } = await pool.query<VarOrigin>({
    name: 'var-origins',
    text: `SELECT DISTINCT ON (s.name) s.name, min(v.created_at) OVER (PARTITION BY s.name) AS created_at,
                  v.event_type, v.node_name, v.meta->>'source' AS source
           FROM noetl.event v
           CROSS JOIN LATERAL jsonb_object_keys(
             CASE WHEN jsonb_typeof(v.context->'set') = 'object' THEN v.context->'set' ELSE '{}' END) AS s(name)
           WHERE v.execution_id = $1 AND v.context IS NOT NULL
             AND v.event_type NOT IN ('playbook.started', 'command.issued', 'loop.started')
           ORDER BY s.name, v.event_id DESC`,
    values: [executionId],
  })
  return new Map(rows.map((row) => [row.name, row]))
}

/** How often and when last a value was read by its name. */
export interface VarAccess {
  access_count: number
  accessed_at: Date
}

export async function loadVarAccess(pool: pg.Pool, executionId: string): Promise<Map<string, VarAccess>> {
  const { rows } = await pool.query<VarAccess & { name: string }>({
    name: 'var-access',
    text: `SELECT name, access_count::int, accessed_at FROM noetl.vars_access WHERE execution_id = $1`,
    values: [executionId],
  })
  return new Map(rows.map(({ name, ...access }) => [name, access]))
}

/** Counts one reading, and says which it was. */
export async function countVarAccess(pool: pg.Pool, executionId: string, name: string): Promise<VarAccess> {
  const { rows } = await pool.query<VarAccess>({
    name: 'count-var-access',
    text: `INSERT INTO noetl.vars_access AS a (execution_id, name) VALUES ($1, $2)
           ON CONFLICT (execution_id, name) DO UPDATE SET access_count = a.access_count + 1, accessed_at = now()
           RETURNING access_count::int, accessed_at`,
    values: [executionId, name],
  })
  return rows[0]!
}

/** A value that is gone was never read. */
export async function forgetVarAccess(pool: pg.Pool, executionId: string, name: string): Promise<void> {
  await pool.query('DELETE FROM noetl.vars_access WHERE execution_id = $1 AND name = $2', [executionId, name])
}
