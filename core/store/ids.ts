/** Milliseconds since 1970 at which ids begin (2024-01-01). 41 bits of time last until 2093. */
const EPOCH = 1_704_067_200_000

/**
 * Makes ids: 63-bit numbers of 41 bits of milliseconds, 10 bits of server number and a 12-bit count,
 * as decimal text. They rise within one source; `after` makes the next one rise above an id that a
 * server with a faster clock made, so that the events of one execution are ordered by their ids.
 */
export function makeIdSource(options: { server: number; now?: () => number }): (after?: string) => string {
  const now = options.now ?? Date.now
  const server = BigInt(options.server & 0x3ff) << 12n
  let lastMs = 0
  let count = 0
  const idOf = (ms: number, count: number) => (BigInt(ms) << 22n) | server | BigInt(count)
  return (after) => {
    let ms = Math.max(now() - EPOCH, lastMs)
    count = ms === lastMs ? count + 1 : 0
    if (count > 0xfff) {
      ms += 1
      count = 0
    }
    // Another server may have made ids in this very millisecond too, and its number may be the higher one.
    if (after !== undefined && idOf(ms, count) <= BigInt(after)) {
      ms = Number(BigInt(after) >> 22n) + 1
      count = 0
    }
    lastMs = ms
    return String(idOf(ms, count))
  }
}

/** How far ahead the clock of another server may be for its ids to be believed when a client names them. */
const AHEAD_MS = 86_400_000

/**
 * An id that a client named, to make one above it: nothing when it is of so distant a future that no server
 * can have made it, for all later ids would follow it there.
 */
export function believable(id: string): string | undefined {
  return idTime(id) <= Date.now() + AHEAD_MS ? id : undefined
}

/** When an id was made, in milliseconds since 1970. */
export function idTime(id: string): number {
  return Number(BigInt(id) >> 22n) + EPOCH
}

/** The smallest id that could be made at a time, in milliseconds since 1970. */
export function idAt(ms: number): string {
  return String(BigInt(Math.max(0, Math.floor(ms) - EPOCH)) << 22n)
}
