import { pino } from 'pino'
import t from 'tap'
import type { Store } from '../../../core/store/store.ts'
import { announceDuty, makeShown } from '../../../core/upkeep/announce.ts'

t.test(
  'announce: a stream that refuses still after it was made anew is left alone for a while',
  async (t) => {
    let remade = 0
    let forgotten = 0
    const waiting = { execution_id: '1', queue_id: '2', node_name: 's', lane: 'normal', pool: '' }
    const store: Pick<Store, 'takeUnclaimed' | 'forgetAnnouncements'> = {
      takeUnclaimed: async () => [waiting],
      forgetAnnouncements: async () => {
        forgotten += 1
        return 1
      },
    }
    const duty = announceDuty({
      store: store as Store,
      bus: {
        async remake() {
          remade += 1
        },
      },
      places: [],
      afterSeconds: 1,
      announce: () => undefined,
      shown: () => undefined,
      accepts: async () => false,
      log: pino({ level: 'silent' }),
    })
    await duty.run()
    t.equal(remade, 0, 'one refusal is not enough')
    for (let run = 0; run < 20; run++) await duty.run()
    t.same([remade, forgotten], [1, 1])
  },
)

t.test(
  'announce: a broken stream is noticed too where workers ask and leave nothing unclaimed',
  async (t) => {
    let remade = 0
    const shown = makeShown()
    const duty = announceDuty({
      store: { takeUnclaimed: async () => [], forgetAnnouncements: async () => 0 } as unknown as Store,
      bus: {
        async remake() {
          remade += 1
        },
      },
      places: [],
      afterSeconds: 1,
      announce: () => undefined,
      shown: shown.take,
      accepts: async () => false,
      log: pino({ level: 'silent' }),
    })
    const waiting = { execution_id: '1', queue_id: '2', node_name: 's', lane: 'normal', pool: '' }
    for (let run = 0; run < 5; run++) await duty.run()
    t.equal(remade, 0, 'nothing was shown: there is no doubt')
    for (let run = 0; run < 2; run++) {
      shown.note(waiting)
      await duty.run()
    }
    t.equal(remade, 1)
  },
)
