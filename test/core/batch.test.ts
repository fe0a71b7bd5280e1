import t from 'tap'
import { makeBatcher } from '../../core/batch.ts'

t.test('batch: what arrives while a call runs rides the next, in order', async (t) => {
  const batches: number[][] = []
  let go: () => void = () => {}
  const batcher = makeBatcher<number, number>({
    maxItems: 10,
    async run(items) {
      batches.push(items)
      if (batches.length === 1) await new Promise<void>((resolve) => (go = resolve))
      return items.map((n) => n * 2)
    },
  })
  const first = batcher.add(1)
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  const rest = [2, 3, 4].map((n) => batcher.add(n))
  t.equal(batcher.waiting, 3)
  go()
  t.same(await Promise.all([first, ...rest]), [2, 4, 6, 8])
  t.same(batches, [[1], [2, 3, 4]])
})

t.test('batch: no call gets more than it may, and no more calls run than may', async (t) => {
  let running = 0
  let most = 0
  const sizes: number[] = []
  const batcher = makeBatcher<number, number>({
    maxItems: 3,
    concurrency: 2,
    async run(items) {
      running += 1
      most = Math.max(most, running)
      sizes.push(items.length)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      return items
    },
  })
  t.same(
    await Promise.all(Array.from({ length: 20 }, (_, n) => batcher.add(n))),
    Array.from({ length: 20 }, (_, n) => n),
  )
  t.ok(most <= 2)
  t.ok(sizes.every((size) => size <= 3))
})

t.test(
  'batch: an Error among the results rejects its item alone, a failed call all of its own',
  async (t) => {
    const one = makeBatcher<number, number>({
      maxItems: 9,
      run: async (items) => items.map((n) => (n === 2 ? new Error('two') : n)),
    })
    const settled = await Promise.allSettled([one.add(1), one.add(2), one.add(3)])
    t.match(settled, [{ value: 1 }, { reason: { message: 'two' } }, { value: 3 }])
    let calls = 0
    const all = makeBatcher<number, number>({
      maxItems: 9,
      async run(items) {
        calls += 1
        if (calls === 1) throw new Error('down')
        return items
      },
    })
    t.match(await Promise.allSettled([all.add(1), all.add(2)]), [
      { reason: { message: 'down' } },
      { reason: { message: 'down' } },
    ])
    t.equal(await all.add(3), 3)
  },
)
