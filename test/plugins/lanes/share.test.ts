import fc from 'fast-check'
import t from 'tap'
import type { LaneState } from '../../../core/tools/lanes.ts'
import { type LaneRule, readOptions } from '../../../plugins/lanes/options.ts'
import { makeShare, turnsOf } from '../../../plugins/lanes/share.ts'

const NAMES = ['a', 'b', 'c', 'd']
const rules = fc
  .array(fc.record({ weight: fc.integer({ min: 1, max: 20 }), reserved: fc.integer({ min: 0, max: 3 }) }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((all): LaneRule[] => all.map((one, i) => ({ name: NAMES[i]!, ageingSeconds: 30, ...one })))
const slots = fc.integer({ min: 1, max: 20 })
const lane = (name: string, more: Partial<LaneState> = {}): LaneState => ({
  ...{ lane: name, busy: 0, waiting: 0, passed: 0, age: 0 },
  ...more,
})
const sum = (numbers: Iterable<number>) => [...numbers].reduce((all, one) => all + one, 0)

/** A state that may be: busy slots are no more than there are. */
const situation = fc
  .tuple(rules, slots, fc.array(fc.nat(40), { minLength: 16, maxLength: 16 }))
  .map(([rules, slots, numbers]) => {
    let left = slots
    const lanes = rules.map(({ name }, i) => {
      const busy = Math.min(left, numbers[i * 4]! % 6)
      left -= busy
      return lane(name, {
        busy,
        waiting: numbers[i * 4 + 1]!,
        passed: numbers[i * 4 + 2]!,
        age: numbers[i * 4 + 3]!,
      })
    })
    return { rules, slots, lanes }
  })

t.test('share: no more is wanted than slots are free, and never less than nothing', async (t) => {
  fc.assert(
    fc.property(situation, ({ rules, slots, lanes }) => {
      const wanted = Object.values(makeShare(rules)({ slots, lanes }))
      return (
        wanted.every((count) => Number.isInteger(count) && count >= 0) &&
        sum(wanted) + sum(lanes.map(({ busy }) => busy)) <= slots
      )
    }),
  )
  t.pass()
})

t.test('share: a free slot that is not reserved is not idle while a lane has work', async (t) => {
  fc.assert(
    fc.property(situation, ({ rules, slots, lanes }) => {
      const wanted = makeShare(rules)({ slots, lanes })
      const free = slots - sum(lanes.map(({ busy }) => busy)) - sum(Object.values(wanted))
      const reserved = sum(rules.map((rule) => rule.reserved))
      return free <= reserved || lanes.every((one) => (wanted[one.lane] ?? 0) >= one.waiting)
    }),
  )
  t.pass()
})

t.test('share: slots reserved for a lane are not filled by others, and one is left for all', async (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 20 }), (reserved, slots) => {
      const share = makeShare(readOptions({ lanes: { high: { reserved, weight: 8 }, low: {} } }))
      const wanted = share({ slots, lanes: [lane('high'), lane('low', { waiting: 1000 })] })
      return wanted.low === Math.max(1, slots - reserved) && wanted.high === slots - wanted.low
    }),
  )
  t.pass()
})

t.test('share: of lanes within their turns the highest is served first', async (t) => {
  const share = makeShare(readOptions({}))
  const lanes = [lane('high', { waiting: 3 }), lane('normal', { waiting: 5 }), lane('low', { waiting: 5 })]
  t.same(share({ slots: 3, lanes }), { high: 3, normal: 0, low: 0 })
})

t.test('share: a lane that has waited for its ageing is next, whatever its weight', async (t) => {
  const share = makeShare(
    readOptions({ lanes: { high: { weight: 1000 }, normal: {}, low: { ageing_seconds: 5 } } }),
  )
  const of = (age: number) =>
    share({
      slots: 1,
      lanes: [lane('high', { waiting: 9 }), lane('normal'), lane('low', { waiting: 9, age })],
    })
  t.same(of(4.9), { high: 1, normal: 0, low: 0 })
  t.same(of(5), { high: 0, normal: 0, low: 1 })
})

/** One slot turn after the other, with lanes that always have work: who had each. */
function play(rules: LaneRule[], { slots, turns }: { slots: number; turns: number }): string[] {
  const share = makeShare(rules)
  const lanes = rules.map(({ name }) => lane(name, { waiting: 1_000_000 }))
  const running: LaneState[] = []
  const had: string[] = []
  while (had.length < turns) {
    const wanted = share({ slots, lanes })
    for (const one of lanes) {
      for (let n = 0; n < (wanted[one.lane] ?? 0); n++) {
        for (const other of lanes) other.passed += 1
        one.passed = 0
        one.busy += 1
        running.push(one)
        had.push(one.lane)
      }
    }
    running.shift()!.busy -= 1
  }
  return had
}

t.test('share: no lane with work waits for more turns than its bound', async (t) => {
  fc.assert(
    fc.property(rules, (drawn) => {
      const rules = drawn.map((rule) => ({ ...rule, reserved: 0 }))
      const had = play(rules, { slots: 1, turns: 400 })
      const turns = turnsOf(rules)
      return rules.every(({ name }) => {
        const bound = turns.get(name)! + rules.length - 1
        let since = 0
        return had.every((other) => {
          since = other === name ? 0 : since + 1
          return since < bound
        })
      })
    }),
  )
  t.pass()
})

t.test('share: with many slots each lane with work has its share of the turns', async (t) => {
  fc.assert(
    fc.property(rules, fc.integer({ min: 1, max: 16 }), (drawn, slots) => {
      const rules = drawn.map((rule) => ({ ...rule, reserved: 0 }))
      const turns = 2000
      const had = play(rules, { slots, turns })
      const bounds = turnsOf(rules)
      return rules.every(({ name }) => {
        const count = had.filter((other) => other === name).length
        return count >= Math.floor(turns / (bounds.get(name)! + rules.length - 1)) - 1
      })
    }),
  )
  t.pass()
})

t.test('options: what cannot be is refused with what was expected', async (t) => {
  const refused = (options: object, why: RegExp) => t.throws(() => readOptions(options), { message: why })
  refused({ weights: {} }, /option "weights" is unknown/)
  refused({ lanes: [] }, /option "lanes" is \[\]/)
  refused({ lanes: { high: 3 } }, /lane "high" is 3/)
  refused({ lanes: { high: { wieght: 3 } } }, /field "wieght"; weight, reserved/)
  refused({ lanes: { high: { weight: 0 } } }, /weight of its lane "high" is 0; a whole number from 1 to 1000/)
  refused({ lanes: { high: { ageing_seconds: 'soon' } } }, /ageing_seconds .* is "soon"; a number from 0.1/)
})
