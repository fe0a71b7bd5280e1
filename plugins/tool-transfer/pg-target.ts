import { pipeline } from 'node:stream/promises'
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { copyText, type Lane } from './pg-copy.ts'
import { onPostgres } from './pg-session.ts'
import type { Settings } from './pg-settings.ts'
import { findTable, quote, type Table } from './pg-table.ts'
import type { TargetPlan } from './plan.ts'
import type { Delivery } from './rows.ts'
import type { Stop } from './stop.ts'

/** Of an upsert: where rows wait, in the session's own schema. */
const WAITING = 'pg_temp.noetl_transfer'

/**
 * Writes all rows of a delivery in one transaction, by COPY. A replacement deletes rather than truncates:
 * readers see the old rows until the new ones are there, and a source that reads the table is not locked out.
 */
export function writePostgres(
  target: TargetPlan,
  about: { settings: Settings; stop: Stop; seconds: number; connectMs: number },
  delivery: Delivery,
): Promise<void> {
  return onPostgres(about.settings, { ...about, side: 'target' }, async ({ client, commit }) => {
    const table = await findTable(client, target, delivery)
    if (target.mode === 'replace') {
      // Two replacements at a time would each delete what was before both.
      await client.query(`LOCK TABLE ${table.quoted} IN SHARE ROW EXCLUSIVE MODE`)
      await client.query(`DELETE FROM ${table.quoted}`)
    }
    // Without a row and without a mapping there are no columns to name.
    if (table.columns.length > 0) {
      if (target.mode === 'upsert') await upsert(client, table, target, delivery, about.stop)
      else await copy(client, { into: table.quoted, table, target, delivery, stop: about.stop })
    }
    await commit()
  })
}

async function upsert(
  client: pg.Client,
  table: Table,
  target: TargetPlan,
  delivery: Delivery,
  stop: Stop,
): Promise<void> {
  const places = target.key.map((name) => delivery.names.indexOf(name))
  const key = places.map((place) => table.columns[place]!.quoted).join(', ')
  const columns = table.columns.map(({ quoted }) => quoted).join(', ')
  const changes = table.columns.filter((_, at) => !places.includes(at))
  const ordinal = quote(freeName(table))
  await client.query(
    `CREATE TEMP TABLE noetl_transfer ON COMMIT DROP AS SELECT ${columns} FROM ${table.quoted} WITH NO DATA`,
  )
  await client.query(`ALTER TABLE ${WAITING} ADD COLUMN ${ordinal} bigserial`)
  const set = changes.map(({ quoted }) => `${quoted} = excluded.${quoted}`).join(', ')
  // Of several rows with one key the last counts, as if they had been written one after the other.
  const insert = `INSERT INTO ${table.quoted} (${columns})
    SELECT DISTINCT ON (${key}) ${columns} FROM ${WAITING} ORDER BY ${key}, ${ordinal} DESC
    ON CONFLICT (${key}) DO ${set === '' ? 'NOTHING' : `UPDATE SET ${set}`}`
  // That the key has no unique index is better said before the rows have come.
  await client.query(`EXPLAIN ${insert}`)
  await copy(client, { into: WAITING, table, target, delivery, stop })
  await client.query(insert)
}

async function copy(
  client: pg.Client,
  about: { into: string; table: Table; target: TargetPlan; delivery: Delivery; stop: Stop },
): Promise<void> {
  const { into, table, target, delivery, stop } = about
  const lanes = table.columns.map((to, at): Lane => {
    return { from: delivery.columns[at]!, to, key: target.key.includes(delivery.names[at]!) }
  })
  stop.throwIfStopped()
  const columns = table.columns.map(({ quoted }) => quoted).join(', ')
  const sink = client.query(copyFrom(`COPY ${into} (${columns}) FROM STDIN`))
  await pipeline(copyText(delivery.batches, lanes), sink)
}

function freeName(table: Table): string {
  let name = 'noetl_row'
  while (table.columns.some((column) => column.name === name)) name += '_'
  return name
}
