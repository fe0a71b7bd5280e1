/** Waits until `check` gives something that is not undefined, null or false; asks often, gives up loudly. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  { withinMs = 30_000, everyMs = 20 }: { withinMs?: number; everyMs?: number } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const end = Date.now() + withinMs
  let seen: unknown
  for (;;) {
    try {
      const value = await check()
      seen = value
      if (value !== undefined && value !== null && value !== false)
        return value as NonNullable<Exclude<T, false>>
    } catch (error) {
      seen = error
      if (Date.now() > end) throw error
    }
    if (Date.now() > end) throw new Error(`waited ${withinMs} ms for ${what}; last seen: ${show(seen)}`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

function show(value: unknown): string {
  return value instanceof Error ? value.message : (JSON.stringify(value) ?? 'nothing').slice(0, 500)
}
