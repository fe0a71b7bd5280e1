import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const folder = fileURLToPath(new URL('../../cli/commands', import.meta.url))

/** Commands with their arguments and flags. A change here is a change that users see: say so in the changelog. */
const SURFACE: Record<string, string> = {
  'dead-letter drop':
    'id --server --token --request-timeout --fingerprint --path --all --rate --reason --json',
  'dead-letter list':
    '--server --token --request-timeout --each --fingerprint --path --status --limit --json',
  'dead-letter retry': 'id --server --token --request-timeout --fingerprint --path --all --rate --json',
  'dead-letter show': 'id --server --token --request-timeout --full --json',
  dev: '--database-url --host --port --nats-url --data-dir --log-level --skip-broken --token --slots --once --samples',
  execute:
    'path --server --token --request-timeout --payload --set --version --lane --watch --wait --timeout --full --json',
  'execution cancel': 'id --server --token --request-timeout --reason --cascade --json',
  'execution events': 'id --server --token --request-timeout --type --since --limit --page --json',
  'execution list': '--server --token --request-timeout --path --status --limit --offset --json',
  'execution resolve':
    'id --server --token --request-timeout --step --done --result --failed --retry --reason --json',
  'execution show': 'id --server --token --request-timeout --full --json',
  'execution watch': 'id --server --token --request-timeout --timeout --full --json',
  logs: 'id --server --token --request-timeout --follow --step --json',
  'playbook list': '--server --token --request-timeout --all --json',
  'playbook register': 'files --server --token --request-timeout --recursive --json',
  'playbook schema': '--json',
  'playbook show': 'path --server --token --request-timeout --version --json',
  'playbook validate': 'files --recursive --strict --json',
  'plugins create': 'name --kind --folder --json',
  'plugins inspect': 'name --json',
  'plugins install': 'sources --scripts --json',
  'plugins link': 'folder --json',
  'plugins list': '--json',
  'plugins uninstall': 'names --json',
  'plugins update': 'names --scripts --json',
  'plugins verify': '--json',
  'server start': '--database-url --host --port --nats-url --data-dir --log-level --skip-broken',
  setup: '--database-url --nats-url --data-dir --log-level --lanes --pool --json',
  'worker start':
    '--server --token --nats-url --data-dir --log-level --skip-broken --v2 --name --pool --lanes --slots --host --health-port',
}

t.test('noetlctl: commands, arguments and flags are these', async (t) => {
  const found: Record<string, string> = {}
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue
    const command = (await import(`${folder}/${file}`)).default
    const words = [
      ...Object.keys(command.args ?? {}),
      ...Object.keys(command.flags ?? {}).map((flag) => `--${flag}`),
    ]
    if (command.enableJsonFlag) words.push('--json')
    found[file.slice(0, -3).replace('/', ' ')] = words.join(' ')
    t.ok(command.summary?.length > 10, `${file} has a summary`)
  }
  t.same(found, SURFACE)
})
