/**
 * Figures that are asked for when someone scrapes: those at hand while they are younger than so long, else new
 * ones; asked for once, however many wait. Rejects when there are none within the time.
 */
export function sampled<T>(
  ask: () => Promise<T>,
  { youngMs, patienceMs, now = Date.now }: { youngMs: number; patienceMs: number; now?: () => number },
): () => Promise<T> {
  let last: { figures: T; at: number } | undefined
  let asking: Promise<T> | undefined
  return () => {
    if (last !== undefined && now() - last.at < youngMs) return Promise.resolve(last.figures)
    asking ??= ask()
      .then((figures) => {
        last = { figures, at: now() }
        return figures
      })
      .finally(() => {
        asking = undefined
      })
    // Whoever comes while it takes longer hears of it then.
    asking.catch(() => undefined)
    return within(asking, patienceMs)
  }
}

async function within<T>(asking: Promise<T>, ms: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no figures within ${ms} ms`)), ms)
  try {
    return await Promise.race([asking, promise])
  } finally {
    clearTimeout(timer)
  }
}
