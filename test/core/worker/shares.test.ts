import t from 'tap'
import { makeLanes, type ShareState } from '../../../core/tools/lanes.ts'
import { makeShares } from '../../../core/worker/shares.ts'

const LANES = ['high', 'normal', 'low']

function shares(share: (state: ShareState) => Record<string, number> = () => ({})) {
  const clock = { now: 0 }
  const seen: ShareState[] = []
  const made = makeShares({
    ...{ lanes: LANES, slots: 4, now: () => clock.now },
    share: (state) => {
      seen.push(state)
      return share(state)
    },
  })
  const last = () => {
    made.wanted()
    return seen.at(-1)!
  }
  return { made, clock, last }
}

t.test(
  'shares: a lane of which nothing is known is asked for one command while a slot is free',
  async (t) => {
    const { made } = shares(() => ({ low: 3 }))
    t.same(made.wanted(), { high: 1, normal: 1, low: 3 })
    made.delivered('low', 7)
    t.same(made.wanted(), { high: 1, normal: 1, low: 3 })
    for (let n = 0; n < 4; n++) made.began('low')
    t.same(made.wanted(), {}, 'none is asked when no slot is free')
  },
)

t.test('shares: turns that pass a lane by are counted while it has work', async (t) => {
  const { made, clock, last } = shares()
  made.delivered('low', 5)
  made.began('high')
  made.began('high')
  clock.now = 3000
  t.match(last().lanes, [
    { lane: 'high', busy: 2, waiting: 0, passed: 0, age: 0 },
    { lane: 'normal', busy: 0, waiting: 0, passed: 0, age: 0 },
    { lane: 'low', busy: 0, waiting: 5, passed: 2, age: 3 },
  ])
  made.began('low')
  t.match(last().lanes[2], { busy: 1, passed: 0, age: 0 })
})

t.test('shares: a lane that was asked and is silent has nothing', async (t) => {
  const { made, clock } = shares()
  made.delivered('high', 5)
  made.empty('high')
  t.ok(made.waits, 'not at once')
  t.ok(made.waitsAbove('low'))
  t.notOk(made.waitsAbove('high'))
  clock.now = 1000
  made.empty('high')
  t.notOk(made.waits)
})

t.test('lanes: without a plugin there is one, and a worker may take what one left', async (t) => {
  const lanes = makeLanes()
  t.same(lanes.names, ['normal'])
  t.same(lanes.taken([]), ['normal'])
  t.same(lanes.taken(['low']), ['low'])
  t.throws(() => lanes.check(['high']), {
    code: 'NOETL_ERR_LANE_UNKNOWN',
    message: /plugins install @noetl\/lanes/,
  })
})

t.test('lanes: those of a plugin are taken in its order, and no others', async (t) => {
  const lanes = makeLanes()
  const share = () => ({})
  t.throws(() => lanes.bring({ lanes: ['high'], share }), /"normal" among them/)
  t.throws(() => lanes.bring({ lanes: ['normal', 'a.b'], share }), /letters, digits/)
  lanes.bring({ lanes: LANES, share })
  t.throws(() => lanes.bring({ lanes: LANES, share }), /brought by another plugin/)
  t.same(lanes.taken([]), LANES)
  t.same(lanes.taken(['low', 'high']), ['high', 'low'])
  t.throws(() => lanes.taken(['urgent']), { code: 'NOETL_ERR_LANE_UNKNOWN', message: /high, normal, low\.$/ })
})
