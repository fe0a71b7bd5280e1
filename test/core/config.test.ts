import t from 'tap'
import { isLoopback, readConfig } from '../../core/config.ts'

t.test('config: defaults are loopback and the ports that clients expect', async (t) => {
  const config = readConfig({}, {})
  t.match(config, {
    host: '127.0.0.1',
    port: 8082,
    serverApiUrl: 'http://127.0.0.1:8082',
    natsUrl: 'nats://127.0.0.1:4222',
    leaseSeconds: 15,
    worker: { slots: 16, lanes: [], pool: '' },
  })
  t.equal(config.apiToken, undefined)
})

t.test('config: flags lie over the environment, empty means not given', async (t) => {
  t.equal(readConfig({ NOETL_PORT: '9000' }, { NOETL_PORT: '9001' }).port, 9000)
  t.equal(readConfig({}, { NOETL_PORT: '' }).port, 8082)
  t.equal(readConfig({}, { SERVER_API_URL: 'http://a:1/' }).serverApiUrl, 'http://a:1')
})

t.test('config: cannot be changed', async (t) => {
  const config = readConfig({}, { NOETL_ENCRYPTION_KEY: Buffer.alloc(32, 1).toString('hex') })
  t.throws(() => Object.assign(config, { port: 1 }))
  t.throws(() => Object.assign(config.worker, { slots: 1 }))
  t.equal(config.encryptionKey?.bytes.length, 32)
})

const FAULTS: [Record<string, string>, RegExp][] = [
  [{ NOETL_PORT: '-1' }, /NOETL_PORT is "-1"; a number from 0 to 65535/],
  [{ DATABASE_URL: 'mysql://x' }, /DATABASE_URL is no postgres: or postgresql: URL/],
  [{ NATS_URL: 'nats://a, http://b' }, /NATS_URL/],
  [{ NOETL_HOST: '0.0.0.0' }, /NOETL_API_TOKEN/],
  [{ NOETL_LOG_LEVEL: 'loud' }, /NOETL_LOG_LEVEL is "loud"; one of fatal/],
  [{ NOETL_ENCRYPTION_KEY: 'short' }, /the encryption key has \d+ bytes; 32/],
  [{ NOETL_ENCRYPTION_KEY_FILE: '/no/such/file' }, /NOETL_ENCRYPTION_KEY_FILE cannot be read/],
  [{ NOETL_WORKER_LANES: 'a b' }, /"a b" is no name for a lane or pool/],
  [{ NOETL_TOOL_OPTIONS: '[1]' }, /NOETL_TOOL_OPTIONS is not as expected/],
  [{ NOETL_TOOL_OPTIONS: '{' }, /NOETL_TOOL_OPTIONS/],
]
for (const [env, message] of FAULTS) {
  t.test(`config: ${Object.entries(env)[0]?.join('=')} is refused`, async (t) =>
    t.throws(() => readConfig({}, env), { code: 'NOETL_ERR_CONFIG_INVALID', message }),
  )
}

t.test('config: no fault shows a secret', async (t) => {
  t.throws(() => readConfig({}, { NOETL_ENCRYPTION_KEY: 'hushhush', NOETL_PORT: 'x' }), {
    message: /^(?!.*hushhush).*NOETL_PORT/s,
  })
})

t.test('config: NOETL_PYTHON and _PRELOAD are options of the tool, under those that name it', async (t) => {
  t.same(readConfig({}, { NOETL_DATA_DIR: '/none', NOETL_PYTHON: '/p' }).worker.toolOptions, {
    python: { python: '/p' },
  })
  t.same(
    readConfig({}, { NOETL_DATA_DIR: '/none', NOETL_PYTHON_PRELOAD: 'pandas, psycopg' }).worker.toolOptions,
    { python: { preload: ['pandas', 'psycopg'] } },
  )
  t.same(
    readConfig(
      {},
      {
        NOETL_DATA_DIR: '/none',
        NOETL_PYTHON: '/p',
        NOETL_TOOL_OPTIONS: '{"python": {"python": "/q"}, "http": {"a": 1}}',
      },
    ).worker.toolOptions,
    { python: { python: '/q' }, http: { a: 1 } },
  )
})

t.test('config: what is loopback', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]']) t.ok(isLoopback(host), host)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.com', '127.0.0.1.example.com', ''])
    t.notOk(isLoopback(host), host)
})

t.test(
  'config: templates get of the environment what NOETL_TEMPLATE_ENV names and what is set',
  async (t) => {
    const { templateEnv } = readConfig(
      {},
      { NOETL_TEMPLATE_ENV: 'REGION, MISSING', REGION: 'eu', SECRET: 'x' },
    )
    t.strictSame({ ...templateEnv }, { REGION: 'eu' })
    t.strictSame({ ...readConfig({}, { REGION: 'eu' }).templateEnv }, {})
  },
)

t.test('config: a public address that is none is a fault', async (t) => {
  for (const NOETL_PUBLIC_URL of ['zz', 'localhost:80', 'ftp://x']) {
    t.throws(() => readConfig({}, { NOETL_PUBLIC_URL }), {
      code: 'NOETL_ERR_CONFIG_INVALID',
      message: /NOETL_PUBLIC_URL/,
    })
  }
  t.equal(readConfig({}, { NOETL_PUBLIC_URL: 'https://a.b/' }).publicUrl, 'https://a.b')
})
