import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** What each part of the core may import of the others. A file right under core/ is named with its ending. */
const MAY: Record<string, string[]> = {
  schemas: [],
  'errors.ts': ['schemas'],
  'channels.ts': ['schemas'],
  'batch.ts': [],
  'each-of.ts': [],
  'within.ts': [],
  'config.ts': ['errors.ts', 'schemas'],
  'client.ts': ['errors.ts', 'schemas'],
  template: ['schemas', 'errors.ts'],
  playbook: ['schemas', 'errors.ts', 'template'],
  'token.ts': ['errors.ts'],
  'ctx-limits.ts': ['errors.ts', 'schemas'],
  tools: ['schemas', 'errors.ts', 'channels.ts', 'version.ts'],
  store: ['schemas', 'errors.ts', 'channels.ts'],
  bus: ['schemas', 'errors.ts', 'channels.ts', 'within.ts'],
  engine: [
    'schemas',
    'errors.ts',
    'channels.ts',
    'batch.ts',
    'ctx-limits.ts',
    'template',
    'playbook',
    'store',
  ],
  http: [
    'schemas',
    'errors.ts',
    'each-of.ts',
    'token.ts',
    'config.ts',
    'template',
    'playbook',
    'store',
    'bus',
    'engine',
  ],
  upkeep: ['schemas', 'errors.ts', 'channels.ts', 'store', 'bus', 'engine'],
  worker: [
    'schemas',
    'errors.ts',
    'channels.ts',
    'batch.ts',
    'each-of.ts',
    'within.ts',
    'ctx-limits.ts',
    'client.ts',
    'template',
    'tools',
    'bus',
  ],
  'setup.ts': ['config.ts', 'schemas', 'store', 'bus'],
  'version.ts': [],
  'server.ts': [
    'schemas',
    'errors.ts',
    'channels.ts',
    'version.ts',
    'config.ts',
    'store',
    'bus',
    'tools',
    'engine',
    'http',
    'upkeep',
  ],
  'worker.ts': ['errors.ts', 'schemas', 'token.ts', 'version.ts', 'config.ts', 'bus', 'tools', 'worker'],
  'index.ts': [
    'channels.ts',
    'client.ts',
    'config.ts',
    'errors.ts',
    'schemas',
    'playbook',
    'tools',
    'server.ts',
    'setup.ts',
    'worker.ts',
  ],
}

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/node_modules|dist\//.test(file))
    .map((file) => join(folder, file))
}

/** What a file imports: paths from the root for its own, names for packages. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  return [
    ...text.matchAll(
      /(?:^|\n)(?:import|export)[^'"\n]*?(?:from )?['"]([^'"]+)['"]|\n\} from ['"]([^'"]+)['"]|import\(['"]([^'"]+)['"]\)/g,
    ),
  ]
    .map((match) => match[1] ?? match[2] ?? match[3] ?? '')
    .map((name) => (name.startsWith('.') ? relative(ROOT, join(ROOT, dirname(file), name)) : name))
}

const partOf = (file: string) => file.split('/')[1] ?? ''

t.test('imports: no arrow in the core points backwards', async (t) => {
  for (const file of sources('core')) {
    const part = partOf(file)
    const allowed = MAY[part]
    if (!allowed) {
      t.fail(`${file}: "${part}" has no place in the order; give it one here`)
      continue
    }
    for (const name of importsOf(file)) {
      if (!name.startsWith('core/')) continue
      const other = partOf(name)
      if (other !== part && !allowed.includes(other)) t.fail(`${file} imports ${name}`)
    }
  }
  t.pass()
})

t.test('imports: plugins and the CLI know the core by its public names alone', async (t) => {
  for (const file of [...sources('plugins'), ...sources('cli')]) {
    for (const name of importsOf(file)) {
      if (
        name.startsWith('core/') ||
        name.startsWith('test/') ||
        /^@noetl\/core\/(?!conformance$)/.test(name)
      )
        t.fail(`${file} imports ${name}`)
      if (
        file.startsWith('plugins/') &&
        name.startsWith('plugins/') &&
        name.split('/')[1] !== file.split('/')[1]
      )
        t.fail(`${file} imports ${name}`)
    }
  }
  t.pass()
})

t.test('imports: Postgres is the store’s, NATS the bus’s, the environment the configuration’s', async (t) => {
  for (const file of sources('core')) {
    const names = importsOf(file)
    if (names.includes('pg') && !/^core\/(store|engine\/plans|http)\b/.test(file))
      t.fail(`${file} imports pg`)
    if (names.includes('nats') && !file.startsWith('core/bus/')) t.fail(`${file} imports nats`)
    if (/process\.env/.test(readFileSync(join(ROOT, file), 'utf8')) && file !== 'core/config.ts')
      t.fail(`${file} reads the environment`)
  }
  t.pass()
})
