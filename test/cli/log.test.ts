import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const LOG = fileURLToPath(new URL('../../cli/log.ts', import.meta.url))

t.test('log: what is named like a secret is not written, at the top, below, and in headers', async (t) => {
  const facts = {
    token: 's1',
    step: 'start',
    err: { authorization: 's2', message: 'kept' },
    headers: { authorization: 's3', accept: 'kept too' },
    request: { headers: { cookie: 's4' }, api_key: 's5' },
    config: { databaseUrl: 's6' },
  }
  const code = `import { makeLog } from ${JSON.stringify(LOG)}; makeLog('info').info(${JSON.stringify(facts)}, 'a sentence')`
  const out = execFileSync(
    process.execPath,
    [
      '--conditions=@noetl/source',
      `--import=${import.meta.resolve('tsx')}`,
      '--input-type=module',
      '-e',
      code,
    ],
    { encoding: 'utf8' },
  )
  const line = JSON.parse(out)
  t.notMatch(out, /"s\d"/)
  t.match(line, {
    msg: 'a sentence',
    step: 'start',
    token: '[Redacted]',
    err: { message: 'kept' },
    headers: { accept: 'kept too' },
  })
})
