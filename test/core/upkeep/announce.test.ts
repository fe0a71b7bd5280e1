import { pino } from 'pino'
import t from 'tap'
import type { Store } from '../../../core/store/store.ts'
import { announceDuty } from '../../../core/upkeep/announce.ts'

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
      accepts: async () => false,
      log: pino({ level: 'silent' }),
    })
    await duty.run()
    t.equal(remade, 0, 'one refusal is not enough')
    for (let run = 0; run < 20; run++) await duty.run()
    t.same([remade, forgotten], [1, 1])
  },
)
