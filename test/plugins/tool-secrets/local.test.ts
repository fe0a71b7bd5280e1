import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JsonObject } from '@noetl/core'
import t, { type Test } from 'tap'
import { testFolder } from '../../support/folder.ts'
import { open, SECRET, withVariables } from './read.ts'

t.test('secrets env: a variable of an allowed name is the value', async (t) => {
  withVariables(t, { NOETL_SECRET_DB: SECRET, NOETL_SECRET_EMPTY: '' })
  const { run } = open(t)
  t.strictSame(await run({ provider: 'env', secret: 'NOETL_SECRET_DB' }), { value: SECRET })
  t.strictSame(await run({ provider: 'env', name: 'NOETL_SECRET_EMPTY' }), { value: '' })
})

t.test('secrets env: any other name is refused, whether there is such a variable or not', async (t) => {
  withVariables(t, { NOETL_ENCRYPTION_KEY: SECRET, OTHER: SECRET })
  const { fail } = open(t)
  for (const name of ['NOETL_ENCRYPTION_KEY', 'OTHER', 'not_there', 'XNOETL_SECRET_A', 'NOETL_SECRET']) {
    t.match(await fail({ provider: 'env', secret: name }), {
      kind: 'auth',
      retryable: false,
      message: `The secret "${name}" may not be read from the environment: the names allowed are NOETL_SECRET_*.`,
    })
  }
})

t.test('secrets env: the names that are allowed are an option', async (t) => {
  withVariables(t, { APP_TOKEN: SECRET, APP_TOKEN_2: 'two', MINE_A: 'a' })
  const { run, fail } = open(t, { envNames: ['APP_TOKEN', 'MINE_*'] })
  t.match(await run({ provider: 'env', names: ['APP_TOKEN', 'MINE_A'] }), { APP_TOKEN: SECRET, MINE_A: 'a' })
  t.match(await fail({ provider: 'env', secret: 'APP_TOKEN_2' }), { kind: 'auth' })
  t.match(await open(t, { envNames: [] }).fail({ provider: 'env', secret: 'A' }), { message: /\(none\)/ })
})

t.test('secrets env: one that is not there is not found', async (t) => {
  t.match(await open(t).fail({ provider: 'env', secret: 'NOETL_SECRET_NONE' }), {
    kind: 'not_found',
    message: 'The secret "NOETL_SECRET_NONE" is not in the worker\'s environment.',
  })
  t.match(await open(t, { envNames: ['*'] }).fail({ provider: 'env', secret: 'constructor' }), {
    kind: 'not_found',
  })
})

t.test('secrets result: several are under values and each by its name', async (t) => {
  withVariables(t, { NOETL_SECRET_A: 'a', NOETL_SECRET_B: 'b' })
  const { run } = open(t)
  const names = ['NOETL_SECRET_A', 'NOETL_SECRET_B']
  const map = { value: 'NOETL_SECRET_A', password: 'NOETL_SECRET_B' }
  t.strictSame(await run({ provider: 'env', names }), {
    NOETL_SECRET_A: 'a',
    NOETL_SECRET_B: 'b',
    values: { NOETL_SECRET_A: 'a', NOETL_SECRET_B: 'b' },
  })
  t.strictSame(await run({ provider: 'env', map }), {
    value: 'a',
    password: 'b',
    values: { value: 'a', password: 'b' },
  })
})

t.test('secrets result: one of several that cannot be read fails them all', async (t) => {
  withVariables(t, { NOETL_SECRET_A: SECRET })
  const error = await open(t).fail({ provider: 'env', names: ['NOETL_SECRET_A', 'NOETL_SECRET_NONE'] })
  t.match(error, { kind: 'not_found', message: /NOETL_SECRET_NONE/, result: null })
})

const DOCUMENT = { user: 'me', 'a.b': 1, deep: { list: [{ n: 1.5 }, null] }, big: 12345678901234567890n }
const picks: [reference: string, value: unknown][] = [
  ['#user', 'me'],
  ['#a.b', 1],
  ['#deep.list.0.n', 1.5],
  ['#deep.list.1', null],
  ['#deep', DOCUMENT.deep],
  ['#big', DOCUMENT.big],
]
for (const [reference, value] of picks) {
  t.test(`secrets field: ${reference} of a secret that is JSON`, async (t) => {
    withVariables(t, { NOETL_SECRET_J: JSON.stringify(DOCUMENT) })
    const { run } = open(t)
    t.strictSame(await run({ provider: 'env', secret: `NOETL_SECRET_J${reference}` }), { value })
    t.strictSame(await run({ provider: 'env', secret: 'NOETL_SECRET_J', field: reference.slice(1) }), {
      value,
    })
  })
}

t.test('secrets field: one that is not there, and a secret that is no JSON', async (t) => {
  withVariables(t, { NOETL_SECRET_J: `{"a": "${SECRET}"}`, NOETL_SECRET_T: `${SECRET} {` })
  const { fail } = open(t)
  for (const field of ['b', 'a.b', 'toString', '0']) {
    t.match(await fail({ provider: 'env', secret: `NOETL_SECRET_J#${field}` }), {
      kind: 'not_found',
      message: `The secret "NOETL_SECRET_J" has no field "${field}".`,
    })
  }
  t.match(await fail({ provider: 'env', secret: 'NOETL_SECRET_T#a' }), {
    kind: 'parse',
    message: /to be JSON and is not/,
  })
})

t.test('secrets input: arguments stand for fields that the tool does not have itself', async (t) => {
  withVariables(t, { NOETL_SECRET_A: 'a', NOETL_SECRET_B: 'b' })
  const { run } = open(t)
  t.same(await run({ provider: 'env', input: { name: 'NOETL_SECRET_A' } }), { value: 'a' })
  t.same(await run({ provider: 'env', secret: 'NOETL_SECRET_B', input: { name: 'NOETL_SECRET_A' } }), {
    value: 'b',
  })
})

const refused: [name: string, fields: JsonObject, message: RegExp][] = [
  ['no secret', { provider: 'env' }, /needs "secret", "names" or "map"/],
  ['a name that rendered to nothing', { provider: 'env', secret: '' }, /rendered to nothing/],
  ['a field of no secret', { provider: 'env', map: { a: '#b' } }, /rendered to nothing/],
  [
    'two ways to say it',
    { provider: 'env', secret: 'A', map: { a: 'B' } },
    /takes one of .*; seen: secret, map/,
  ],
  [
    'another provider',
    { provider: 'aws', secret: 'A' },
    /no provider "aws"; there are env, file, http, gcp, vault/,
  ],
  ['a provider that objects have', { provider: 'constructor', secret: 'A' }, /no provider "constructor"/],
  ['the result name "values"', { provider: 'env', map: { values: 'A' } }, /"values" cannot be the name/],
]
for (const [name, fields, message] of refused) {
  t.test(`secrets schema: ${name} is refused`, async (t) => {
    t.match(await open(t).fail(fields), { kind: 'schema', retryable: false, message })
  })
}

/** A folder of secrets beside one that is none of them. */
async function folders(t: Test): Promise<{ base: string; beside: string }> {
  const folder = await testFolder(t, 'secrets')
  const [base, beside] = [join(folder, 'base'), join(folder, 'base-other')]
  mkdirSync(join(base, 'app'), { recursive: true })
  mkdirSync(beside)
  writeFileSync(join(beside, 'key'), SECRET)
  return { base, beside }
}

const contents: [name: string, bytes: string, value: string][] = [
  ['text as it is', ' s3cret ', ' s3cret '],
  ['a line end is not part of it', 's3cret\n', 's3cret'],
  ['nor is one of Windows', 's3cret\r\n', 's3cret'],
  ['only the last one', 'a\nb\n\n', 'a\nb\n'],
  ['nothing', '', ''],
  ['a byte order mark and letters of all kinds', '\ufeffé€😀', '\ufeffé€😀'],
]
for (const [name, bytes, value] of contents) {
  t.test(`secrets file: ${name}`, async (t) => {
    const { base } = await folders(t)
    writeFileSync(join(base, 'app', 'key'), bytes)
    t.strictSame(await open(t, { fileFolder: base }).run({ provider: 'file', secret: 'app/key' }), { value })
  })
}

t.test('secrets file: fields of JSON files', async (t) => {
  const { base } = await folders(t)
  writeFileSync(join(base, 'db.json'), `{"user": "me", "password": "${SECRET}"}\n`)
  const map = { user: 'db.json#user', password: 'db.json#password' }
  t.match(await open(t, { fileFolder: base }).run({ provider: 'file', map }), {
    user: 'me',
    password: SECRET,
  })
})

t.test('secrets file: links inside of the folder are followed, as Kubernetes makes them', async (t) => {
  const { base } = await folders(t)
  mkdirSync(join(base, '..2026_11'))
  writeFileSync(join(base, '..2026_11', 'token'), SECRET)
  symlinkSync('..2026_11', join(base, '..data'))
  symlinkSync(join('..data', 'token'), join(base, 'token'))
  t.same(await open(t, { fileFolder: base }).run({ provider: 'file', secret: 'token' }), { value: SECRET })
})

t.test('secrets file: the folder itself may be a link', async (t) => {
  const { base, beside } = await folders(t)
  writeFileSync(join(base, 'key'), 'k')
  symlinkSync(base, join(beside, 'link'))
  t.same(await open(t, { fileFolder: join(beside, 'link') }).run({ provider: 'file', secret: 'key' }), {
    value: 'k',
  })
})

t.test('secrets file: nothing outside of the folder is read, by no name and no link', async (t) => {
  const { base, beside } = await folders(t)
  symlinkSync(join(beside, 'key'), join(base, 'link'))
  symlinkSync(beside, join(base, 'folder-link'))
  const { fail } = open(t, { fileFolder: base })
  const names = [
    '../base-other/key',
    'app/../../base-other/key',
    join(beside, 'key'),
    'link',
    'folder-link/key',
    '..',
    'a\0b',
  ]
  for (const name of names) {
    const error = await fail({ provider: 'file', secret: name })
    t.match(error, { kind: 'auth', message: /not inside the folder of secrets/ }, name)
  }
})

t.test('secrets file: what is not there or no file is not found, and nothing waits for a pipe', async (t) => {
  const { base } = await folders(t)
  execFileSync('mkfifo', [join(base, 'pipe')])
  writeFileSync(join(base, 'key'), 'k')
  symlinkSync('nowhere', join(base, 'dangling'))
  const { fail } = open(t, { fileFolder: base })
  for (const name of ['none', 'app', 'pipe', 'key/below', 'dangling', 'x'.repeat(2000)]) {
    t.match(await fail({ provider: 'file', secret: name }), { kind: 'not_found', retryable: false }, name)
  }
  t.match(await open(t, { fileFolder: join(base, 'none') }).fail({ provider: 'file', secret: 'a' }), {
    kind: 'not_found',
  })
})

t.test('secrets file: a link to itself is denied', async (t) => {
  const { base } = await folders(t)
  symlinkSync('loop', join(base, 'loop'))
  t.match(await open(t, { fileFolder: base }).fail({ provider: 'file', secret: 'loop' }), {
    kind: 'auth',
    code: 'ELOOP',
  })
})

t.test('secrets file: without a folder none are read', async (t) => {
  t.match(await open(t).fail({ provider: 'file', secret: 'a' }), {
    kind: 'auth',
    message: /option fileFolder/,
  })
})

t.test('secrets file: as many bytes as the limit are taken, one more is an error', async (t) => {
  const { base } = await folders(t)
  writeFileSync(join(base, 'fits'), 'x'.repeat(1000))
  writeFileSync(join(base, 'large'), SECRET.repeat(200))
  const { run, fail } = open(t, { fileFolder: base, maxSecretBytes: 1000 })
  t.same(await run({ provider: 'file', secret: 'fits' }), { value: 'x'.repeat(1000) })
  t.match(await fail({ provider: 'file', secret: 'large' }), {
    kind: 'tool_error',
    message: /more than 1000 bytes/,
  })
})

t.test(
  'secrets encoding: bytes that are no text come in base64 when asked for, else are an error',
  async (t) => {
    const { base } = await folders(t)
    writeFileSync(join(base, 'key'), Buffer.from([0xff, 0x00, 0x0a]))
    const { run, fail } = open(t, { fileFolder: base })
    t.same(await run({ provider: 'file', secret: 'key', encoding: 'base64' }), { value: '/wA=' })
    t.match(await fail({ provider: 'file', secret: 'key' }), { kind: 'parse', message: /encoding: base64/ })
    t.match(await fail({ provider: 'file', secret: 'key#a', encoding: 'base64' }), { kind: 'schema' })
  },
)
