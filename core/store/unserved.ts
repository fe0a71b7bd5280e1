import type pg from 'pg'

/** A place whose commands wait though no worker that was heard of within a minute takes them. */
export interface UnservedPlace {
  lane: string
  pool: string
  ready: number
  oldest_ready_seconds: number
}

export interface Unserved {
  /** Those of the last few seconds; sentences for readers come of it by `sayUnserved`. */
  places(): Promise<UnservedPlace[]>
}

const YOUNG_MS = 5000

/** Workers of earlier generations tell no lanes: they take the normal one. A worker beats every 15 seconds. */
const UNSERVED = `
SELECT q.lane, q.pool, count(*)::int AS ready,
       extract(epoch FROM now() - min(q.available_at))::float8 AS oldest_ready_seconds
FROM noetl.queue q
WHERE q.status = 'queued' AND q.available_at <= now()
GROUP BY q.lane, q.pool
HAVING NOT EXISTS (
  SELECT 1 FROM noetl.worker w
  WHERE w.heartbeat > now() - interval '1 minute' AND coalesce(w.meta->>'kind', '') <> 'broker'
    AND coalesce(w.labels->>'pool', '') = q.pool
    AND q.lane = ANY (string_to_array(coalesce(w.labels->>'lanes', 'normal'), ',')))
ORDER BY q.lane, q.pool LIMIT 100`

/** Asks when it is asked, at most every few seconds. */
export function makeUnserved(pool: pg.Pool): Unserved {
  let last: { at: number; places: Promise<UnservedPlace[]> } | undefined
  return {
    places() {
      if (last !== undefined && Date.now() - last.at < YOUNG_MS) return last.places
      const asked = {
        at: Date.now(),
        places: pool.query<UnservedPlace>({ name: 'unserved', text: UNSERVED }).then(({ rows }) => rows),
      }
      last = asked
      asked.places.catch(() => {
        if (last === asked) last = undefined
      })
      return asked.places
    },
  }
}

export function sayUnserved({ lane, pool, ready, oldest_ready_seconds: seconds }: UnservedPlace): string {
  const place = pool === '' ? `lane ${lane}` : `lane ${lane}, pool ${pool}`
  const flags = `${lane === 'normal' ? '' : ` --lanes ${lane}`}${pool === '' ? '' : ` --pool ${pool}`}`
  return `${ready} commands of ${place} wait, the oldest for ${Math.round(seconds)} s, and no worker takes them: noetlctl worker start${flags}`
}
