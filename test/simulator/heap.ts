/** A binary heap: the smallest comes first. */
export interface Heap<T> {
  push(item: T): void
  pop(): T | undefined
}

export function makeHeap<T>(compare: (a: T, b: T) => number): Heap<T> {
  const items: T[] = []
  return {
    push(item) {
      let at = items.push(item) - 1
      while (at > 0) {
        const above = (at - 1) >> 1
        if (compare(item, items[above]!) >= 0) break
        items[at] = items[above]!
        at = above
      }
      items[at] = item
    },
    pop() {
      const first = items[0]
      const last = items.pop()
      if (last === undefined || items.length === 0) return first
      let at = 0
      for (;;) {
        let below = 2 * at + 1
        if (below >= items.length) break
        if (below + 1 < items.length && compare(items[below + 1]!, items[below]!) < 0) below += 1
        if (compare(last, items[below]!) <= 0) break
        items[at] = items[below]!
        at = below
      }
      items[at] = last
      return first
    },
  }
}
