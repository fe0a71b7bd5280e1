import { writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import * as client from '@kubernetes/client-node'
import type { JsonObject } from '@noetl/core'
import t from 'tap'
import { findCluster } from '../../../plugins/tool-container/cluster-settings.ts'
import { containerTool } from '../../../plugins/tool-container/tool.ts'
import { testFolder } from '../../support/folder.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'
import { kubeApi, kubeconfig, TOKEN } from './kube-api.ts'

const stored = {
  k8s: { type: 'kubernetes', data: { kubeconfig: kubeconfig('https://cluster.example') } },
  plain: { type: 'kubernetes', data: { server: 'https://10.0.0.1:6443/', token: TOKEN, namespace: 'own' } },
  pg: { type: 'postgres', data: { server: 'https://10.0.0.1' } },
  empty: { type: 'kubernetes', data: {} },
}
const nowhere = { env: {}, serviceAccountDir: '/nowhere' }
const find = (
  auth: string | JsonObject | null,
  surroundings: Parameters<typeof findCluster>[1]['surroundings'] = nowhere,
) => findCluster(auth, { client, credentials: toolCall({ stored }).credentials, surroundings })
const fail = (...args: Parameters<typeof find>) => toolFailure(find(...args))

/** What matters of what was found. */
async function found(...args: Parameters<typeof find>) {
  const { config, namespace } = await find(...args)
  const context = config.getContextObject(config.getCurrentContext())
  return {
    server: config.getCurrentCluster()?.server,
    token: config.getCurrentUser()?.token,
    namespace: namespace ?? context?.namespace,
  }
}

t.test('auth: a credential with a kubeconfig, as text or as what it holds', async (t) => {
  const expected = { server: 'https://cluster.example', token: TOKEN, namespace: 'flows' }
  t.match(await found('k8s'), expected)
  t.match(await found({ credential: 'k8s' }), expected)
  t.match(await found({ kubeconfig: kubeconfig('https://cluster.example') }), expected)
  const parsed = client.loadYaml<JsonObject>(kubeconfig('https://cluster.example'))
  t.match(await found({ kubeconfig: parsed }), expected)
  t.match(await found({ kubeconfig: kubeconfig('https://cluster.example'), namespace: 'own' }), {
    namespace: 'own',
  })
})

t.test('auth: a credential with server, token and authority', async (t) => {
  t.match(await found('plain'), { server: 'https://10.0.0.1:6443', token: TOKEN, namespace: 'own' })
  const pem = '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n'
  const { config } = await find({ server: 'https://a', token: 't', ca: pem })
  t.equal(Buffer.from(config.getCurrentCluster()?.caData ?? '', 'base64').toString(), pem)
})

t.test('auth: another context than the current one may be named', async (t) => {
  const both = kubeconfig('https://one.example').replace(
    'contexts:\n',
    'contexts:\n  - name: other\n    context: {cluster: test, user: worker, namespace: elsewhere}\n',
  )
  t.match(await found({ kubeconfig: both }), { namespace: 'flows' })
  t.match(await found({ kubeconfig: both, context: 'other' }), { namespace: 'elsewhere' })
  t.match(await fail({ kubeconfig: both, context: 'third' }), { kind: 'auth', message: /no current context/ })
})

const REFUSED: [name: string, auth: string | JsonObject, message: RegExp][] = [
  ['an alias of nothing', 'absent', /absent/],
  ['a credential of another type', 'pg', /its type is "postgres", not kubernetes/],
  ['an empty credential', 'empty', /"kubeconfig", or "server" and "token", is missing in credential empty/],
  ['a server that is no URL', { server: 'cluster' }, /no https URL/],
  ['a server with a password in it', { server: `https://me:${TOKEN}@a` }, /no https URL without user/],
  ['a server without TLS', { server: 'http://a', token: 't' }, /without TLS: use https.*verify_ssl: false/],
  [
    'a kubeconfig that is no YAML',
    { kubeconfig: `{"token": "${TOKEN}", [` },
    /is no YAML that kubectl would take/,
  ],
  ['a kubeconfig that is a text', { kubeconfig: TOKEN }, /kubeconfig in auth/],
  ['a kubeconfig of nothing', { kubeconfig: 'apiVersion: v1\nkind: Config\n' }, /no current context/],
  ['a kubeconfig beyond all size', { kubeconfig: 'x'.repeat(1024 * 1024 + 1) }, /more than 1048576 bytes/],
]
for (const [name, auth, message] of REFUSED) {
  t.test(`auth: ${name} is refused`, async (t) => {
    const failure = await fail(auth)
    t.match(failure, { kind: 'auth', retryable: false, message })
    t.notMatch(`${failure.message}${failure.cause}`, new RegExp(TOKEN))
  })
}

t.test('auth: a kubeconfig that would run a program or read a file of the worker is refused', async (t) => {
  const base = kubeconfig('https://a.example')
  const withUser = (user: string) => base.replace(`{token: ${TOKEN}}`, `{${user}}`)
  const configs: [string, string][] = [
    ['exec', withUser('exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}')],
    ['exec', withUser('"\\x65xec": {command: sh}')],
    ['auth-provider', withUser('auth-provider: {name: gcp}')],
    ['token-file', withUser('token-file: /etc/passwd')],
    ['client-key', withUser('client-key: /etc/shadow')],
    ['certificate-authority', base.replace('server:', 'certificate-authority: /etc/passwd, server:')],
  ]
  for (const [name, text] of configs) {
    t.match(await fail({ kubeconfig: text }), {
      kind: 'auth',
      message: new RegExp(`has "${name}", which only works on the machine it was made on.*--flatten`),
    })
  }
})

t.test('without auth: no cluster is an error that says what to set', async (t) => {
  for (const auth of [null, '']) {
    const failure = await fail(auth)
    t.match(failure, { kind: 'auth', retryable: false })
    t.match(
      failure.message,
      /No Kubernetes cluster is configured.*"auth".*kubernetes.*service account.*KUBECONFIG=/,
    )
  }
})

t.test('without auth: KUBECONFIG names a file, or several', async (t) => {
  const folder = await testFolder(t, 'kubeconfig')
  const [one, two] = [join(folder, 'one'), join(folder, 'two')]
  await writeFile(one, kubeconfig('https://one.example'))
  await writeFile(
    two,
    kubeconfig('https://two.example').replaceAll('test', 'second').replaceAll('worker', 'w2'),
  )
  const around = (KUBECONFIG: string) => ({ env: { KUBECONFIG }, serviceAccountDir: '/nowhere' })
  t.match(await found(null, around(one)), { server: 'https://one.example', token: TOKEN })
  t.match(await found(null, around([one, two].join(delimiter))), { server: 'https://one.example' })
  const gone = await fail(null, around(join(folder, 'gone')))
  t.match(gone, { kind: 'auth', message: /KUBECONFIG names .*gone, which cannot be read: ENOENT/ })
})

t.test('without auth: in a pod it is the cluster around it, before KUBECONFIG', async (t) => {
  const folder = await testFolder(t, 'service-account')
  await writeFile(join(folder, 'token'), 'pod-token')
  await writeFile(join(folder, 'namespace'), 'flows\n')
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443', KUBECONFIG: '/nowhere' }
  const around = { env, serviceAccountDir: folder }
  t.match(await found(null, around), { server: 'https://[fd00::1]:443', namespace: 'flows' })
  const { config } = await find(null, around)
  t.equal(config.getCurrentCluster()?.caFile, join(folder, 'ca.crt'))
  const headers: Record<string, string> = {}
  await writeFile(join(folder, 'ca.crt'), 'PEM')
  await config.applyToHTTPSOptions({ headers })
  t.equal(headers.Authorization, 'Bearer pod-token')
})

t.test('tool: without a cluster the step fails clearly, with KUBECONFIG it runs there', async (t) => {
  const before = process.env.KUBECONFIG
  t.teardown(() => {
    if (before === undefined) delete process.env.KUBECONFIG
    else process.env.KUBECONFIG = before
  })
  const tool = containerTool({ pollMs: 5, serviceAccountDir: '/nowhere' })
  t.teardown(() => tool.close?.())
  delete process.env.KUBECONFIG
  t.match(await toolFailure(tool.run({ image: 'a' }, toolCall())), {
    kind: 'auth',
    message: /No Kubernetes cluster is configured/,
  })
  const api = await kubeApi(t)
  process.env.KUBECONFIG = join(await testFolder(t, 'kubeconfig'), 'config')
  await writeFile(process.env.KUBECONFIG, kubeconfig(api.url, 'from-file'))
  t.match(await tool.run({ image: 'a' }, toolCall()), { status: 'success', namespace: 'from-file' })
  t.match(await tool.run({ image: 'a', namespace: 'from-step' }, toolCall()), { namespace: 'from-step' })
})
