/**
 * Turns single calls into few large ones without a timer: what arrives while a call runs rides the next.
 * Alone, a call goes at once; under load, the batches grow by themselves.
 */
export interface Batcher<I, O> {
  add(item: I): Promise<O>
  /** Items waiting for the next call. */
  readonly waiting: number
}

export function makeBatcher<I, O>(options: {
  /** Gets the items in order of arrival; returns as many results, in that order. An Error rejects its item. */
  run(items: I[]): Promise<(O | Error)[]>
  maxItems: number
  /** Calls under way at once. */
  concurrency?: number
}): Batcher<I, O> {
  const limit = options.concurrency ?? 1
  let queue: { item: I; resolve(value: O): void; reject(error: unknown): void }[] = []
  let running = 0
  let scheduled = false

  function schedule() {
    if (scheduled || running >= limit || queue.length === 0) return
    scheduled = true
    // One turn of the loop lets everything that this tick brought ride together.
    setImmediate(() => {
      scheduled = false
      flush()
      schedule()
    })
  }

  function flush() {
    if (running >= limit || queue.length === 0) return
    const batch = queue.slice(0, options.maxItems)
    queue = queue.slice(options.maxItems)
    running += 1
    options
      .run(batch.map((entry) => entry.item))
      .then(
        (results) => {
          batch.forEach((entry, i) => {
            const result = results[i]
            if (result instanceof Error) entry.reject(result)
            else entry.resolve(result as O)
          })
        },
        (error) => {
          for (const entry of batch) entry.reject(error)
        },
      )
      .finally(() => {
        running -= 1
        schedule()
      })
  }

  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        queue.push({ item, resolve, reject })
        schedule()
      }),
    get waiting() {
      return queue.length
    },
  }
}
