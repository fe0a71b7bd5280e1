import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { testCluster } from '../support/cluster.ts'
import { until } from '../support/wait.ts'

t.test('a step that sleeps or computes for three leases is never taken over', async (t) => {
  const cluster = await testCluster(t, { servers: 1, workers: 2, env: { NOETL_LEASE_SECONDS: '3' } })
  const path = await cluster.register(`metadata: {path: long}
workflow:
- step: start
  loop: {in: [sleep, burn, sleep, burn], iterator: how, spec: {mode: parallel, max_in_flight: 4}}
  tool:
    kind: python
    input: {how: "{{ iter.how }}"}
    code: |
      import time
      end = time.monotonic() + 10
      while time.monotonic() < end:
          if how == "sleep": time.sleep(1)
      result = how`)
  const ended = await cluster.ended(await cluster.execute(path))
  t.equal(ended.status, 'COMPLETED')
  const of = (type: string) => ended.events.filter((event) => event.event_type === type)
  t.same(
    [of('command.claimed').length, of('command.lease_expired').length, of('command.late').length],
    [4, 0, 0],
  )
})

t.test('unsafe, and its worker was killed: a probe says whether it is done', async (t) => {
  const cluster = await testCluster(t, { servers: 1, workers: 1, env: { NOETL_LEASE_SECONDS: '3' } })
  const folder = await mkdtemp(join(tmpdir(), 'noetl-test-probe-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const path = await cluster.register(`metadata: {path: probed}
workload: {file: none}
workflow:
- step: start
  tool:
    kind: python
    effect: unsafe
    input: {file: "{{ file }}"}
    probe:
      kind: python
      input: {file: "{{ file }}"}
      code: |
        import os
        with open(file + ".probed", "a") as f: f.write("x")
        result = {"done": True, "result": "found"} if os.path.exists(file) else {"done": False}
    code: |
      import os, time
      with open(file + ".calls", "a") as f: f.write("x")
      if os.path.exists(file + ".first"):
          result = "again"
      else:
          open(file + ".first", "w").close()
          if file.endswith("paid"): open(file, "w").close()
          print("in the midst of", file, flush=True)
          time.sleep(600)`)
  const [first] = cluster.workers
  const run = (name: string) => cluster.execute(path, { file: join(folder, name) })
  const [paid, open] = [await run('paid'), await run('open')]
  await first!.says(/in the midst of .*\/paid/)
  await first!.says(/in the midst of .*\/open/)
  first!.kill('SIGKILL')
  await cluster.startWorker()
  const size = async (name: string) => (await readFile(join(folder, name), 'utf8')).length
  const one = await cluster.ended(paid)
  t.same([one.status, one.result], ['COMPLETED', 'found'])
  t.equal(await size('paid.calls'), 1, 'what was done is not done again')
  const other = await cluster.ended(open)
  t.same([other.status, other.result], ['COMPLETED', 'again'])
  t.equal(await size('open.calls'), 2)
  await until('both probes', async () => (await size('paid.probed')) + (await size('open.probed')) === 2)
})
