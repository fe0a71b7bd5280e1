import { access, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import type { KubeConfig } from '@kubernetes/client-node'
import { type Credential, isObject, type Json, type JsonObject, ToolError } from '@noetl/core'
import { field, textField } from './fields.ts'

/** Everything but the classes of the client, which is loaded when the first call needs it. */
export type KubernetesClient = typeof import('@kubernetes/client-node')

/** Where the worker may find a cluster of its own. */
export interface Surroundings {
  env: NodeJS.ProcessEnv
  /** Where a cluster puts the token of a pod's service account. */
  serviceAccountDir: string
}

export const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount'

const MAX_KUBECONFIG_BYTES = 1024 * 1024

const NONE =
  'No Kubernetes cluster is configured: give the step "auth", the alias of a credential of type kubernetes (kubeconfig, or server, token and ca), run the worker in a pod with a service account, or start it with KUBECONFIG=/path/to/config.'

export interface Found {
  config: KubeConfig
  /** That of the credential, which wins over the context's. */
  namespace: string | undefined
}

/** Finds the cluster that the step's `auth` stands for; without any, the worker's own. */
export async function findCluster(
  auth: Json | undefined,
  about: {
    client: KubernetesClient
    credentials: (alias: string) => Promise<Credential>
    surroundings: Surroundings
  },
): Promise<Found> {
  const { client, credentials, surroundings } = about
  if (auth === undefined || auth === null || auth === '') {
    return { config: await ownCluster(client, surroundings), namespace: undefined }
  }
  const given = isObject(auth) ? auth : { credential: String(auth) }
  const alias = textField(given, 'credential', 'alias', 'name')
  if (alias === undefined) return clusterOf(client, given, 'auth')
  const { type, data } = await credentials(alias)
  if (type !== 'kubernetes') {
    throw new ToolError(
      'auth',
      `A Job cannot be started with credential ${alias}: its type is "${type}", not kubernetes.`,
    )
  }
  return clusterOf(client, data, `credential ${alias}`)
}

/** Reads the fields of a credential: a whole kubeconfig, or server, token and ca. */
export function clusterOf(client: KubernetesClient, data: JsonObject, what: string): Found {
  const namespace = textField(data, 'namespace')
  const text = kubeconfigText(data)
  const context = textField(data, 'context')
  const config =
    text === undefined ? serverOf(client, data, what) : parseKubeconfig(client, text, { what, context })
  return { config, namespace }
}

function serverOf(client: KubernetesClient, data: JsonObject, what: string): KubeConfig {
  const server = textField(data, 'server')
  if (server === undefined) {
    throw new ToolError('auth', `"kubeconfig", or "server" and "token", is missing in ${what}.`)
  }
  const url = URL.parse(server)
  const trusting = field(data, 'verify_ssl') === false || field(data, 'insecure_skip_tls_verify') === true
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '') {
    throw new ToolError('auth', `The server in ${what} is no https URL without user and password.`)
  }
  const ca = textField(data, 'ca', 'ca_data')
  const token = textField(data, 'token')
  const config = new client.KubeConfig()
  config.loadFromOptions({
    clusters: [
      {
        name: 'cluster',
        server: server.replace(/\/$/, ''),
        skipTLSVerify: trusting,
        ...(ca === undefined ? {} : { caData: base64Of(ca) }),
      },
    ],
    users: [{ name: 'user', ...(token === undefined ? {} : { token }) }],
    contexts: [{ name: 'context', cluster: 'cluster', user: 'user' }],
    currentContext: 'context',
  })
  return checked(config, what)
}

async function ownCluster(client: KubernetesClient, around: Surroundings): Promise<KubeConfig> {
  const { env, serviceAccountDir } = around
  const inPod = await access(join(serviceAccountDir, 'token')).then(
    () => true,
    () => false,
  )
  const config = new client.KubeConfig()
  if (inPod && (env.KUBERNETES_SERVICE_HOST ?? '') !== '') {
    await loadFromPod(config, around)
    return config
  }
  const files = (env.KUBECONFIG ?? '').split(delimiter).filter((file) => file !== '')
  if (files.length === 0) throw new ToolError('auth', NONE)
  // Of several, the current context of the first counts, as kubectl has it.
  for (const [index, file] of files.entries()) {
    const one = index === 0 ? config : new client.KubeConfig()
    try {
      one.loadFromFile(file)
      if (index > 0) config.mergeConfig(one, config.getCurrentContext() !== '')
    } catch (cause) {
      throw new ToolError(
        'auth',
        `KUBECONFIG names ${file}, which cannot be read: ${(cause as Error).message}`,
      )
    }
  }
  return checked(config, 'the worker’s KUBECONFIG')
}

/** As the client does it for a pod, but from where we say the token is; it is read anew before it expires. */
async function loadFromPod(config: KubeConfig, { env, serviceAccountDir }: Surroundings): Promise<void> {
  const host = env.KUBERNETES_SERVICE_HOST ?? ''
  const port = env.KUBERNETES_SERVICE_PORT ?? '443'
  const namespace = await readFile(join(serviceAccountDir, 'namespace'), 'utf8').catch(() => 'default')
  config.loadFromOptions({
    clusters: [
      {
        name: 'pod',
        server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
        caFile: join(serviceAccountDir, 'ca.crt'),
        skipTLSVerify: false,
      },
    ],
    users: [
      {
        name: 'pod',
        authProvider: { name: 'tokenFile', config: { tokenFile: join(serviceAccountDir, 'token') } },
      },
    ],
    contexts: [{ name: 'pod', cluster: 'pod', user: 'pod', namespace: namespace.trim() }],
    currentContext: 'pod',
  })
}

function kubeconfigText(data: JsonObject): string | undefined {
  const given = field(data, 'kubeconfig')
  // One that was stored as YAML or JSON may come as what it holds.
  return isObject(given) ? JSON.stringify(given) : textField(data, 'kubeconfig')
}

function parseKubeconfig(
  client: KubernetesClient,
  text: string,
  { what, context }: { what: string; context: string | undefined },
): KubeConfig {
  if (Buffer.byteLength(text) > MAX_KUBECONFIG_BYTES) {
    throw new ToolError('auth', `The kubeconfig in ${what} has more than ${MAX_KUBECONFIG_BYTES} bytes.`)
  }
  const config = new client.KubeConfig()
  try {
    refuseWorkerAccess(client.loadYaml<unknown>(text) as Json, what)
    config.loadFromString(text)
  } catch (error) {
    if (error instanceof ToolError) throw error
    // Its own words quote the text, which holds tokens.
    throw new ToolError('auth', `The kubeconfig in ${what} is no YAML that kubectl would take.`)
  }
  if (context !== undefined) config.setCurrentContext(context)
  return checked(config, what)
}

/** What would run a program on the worker, or read one of its files, for whoever wrote the credential. */
const WORKER_ACCESS = [
  'exec',
  'auth-provider',
  'token-file',
  'tokenFile',
  'client-certificate',
  'client-key',
  'certificate-authority',
]

function refuseWorkerAccess(config: Json, what: string): void {
  if (!isObject(config)) return
  const parts = [config.users, config.clusters].flatMap((list) => (Array.isArray(list) ? list : []))
  for (const part of parts) {
    if (!isObject(part)) continue
    const inner = [part.user, part.cluster].find(isObject) ?? {}
    const found = WORKER_ACCESS.find((name) => (inner[name] ?? null) !== null)
    if (found === undefined) continue
    throw new ToolError(
      'auth',
      `The kubeconfig in ${what} has "${found}", which only works on the machine it was made on: use a token and "kubectl config view --raw --flatten".`,
    )
  }
}

function checked(config: KubeConfig, what: string): KubeConfig {
  const cluster = config.getCurrentCluster()
  if (cluster === null) {
    throw new ToolError(
      'auth',
      `The kubeconfig in ${what} has no current context with a cluster; set "current-context", or "context" of the credential.`,
    )
  }
  if (cluster.server.startsWith('http:') && !cluster.skipTLSVerify) {
    throw new ToolError(
      'auth',
      `The server in ${what} would be talked to without TLS: use https://, or say verify_ssl: false (in a kubeconfig insecure-skip-tls-verify: true).`,
    )
  }
  return config
}

function base64Of(pem: string): string {
  return pem.includes('-----BEGIN') ? Buffer.from(pem).toString('base64') : pem
}
