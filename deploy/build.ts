// Builds all packages for publishing, each into its own dist/: `npm run build`. Plugins and CLI are built against
// what was built of the core, as their users will have it.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const PACKAGES = ['core', ...readdirSync(join(ROOT, 'plugins')).map((name) => `plugins/${name}`), 'cli']

for (const name of PACKAGES) build(join(ROOT, name), name)

function build(folder: string, name: string): void {
  const config = join(folder, 'tsconfig.build.json')
  rmSync(join(folder, 'dist'), { recursive: true, force: true })
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    rootDir: '.',
    outDir: 'dist',
    customConditions: [],
  }
  const depth = name.split('/').length
  const base = `${'../'.repeat(depth)}tsconfig.json`
  writeFileSync(
    config,
    JSON.stringify({
      extends: base,
      compilerOptions,
      include: ['**/*.ts'],
      exclude: ['dist', 'node_modules'],
    }),
  )
  try {
    const { status, stdout, stderr } = spawnSync(process.execPath, [TSC, '-p', config], { encoding: 'utf8' })
    if (status !== 0) {
      process.stderr.write(`${stdout}${stderr}✗ ${name} was not built\n`)
      process.exit(1)
    }
  } finally {
    rmSync(config, { force: true })
  }
  // What is read as a file beside the code goes along.
  const migrations = join(folder, 'store', 'migrations')
  if (existsSync(migrations))
    cpSync(migrations, join(folder, 'dist', 'store', 'migrations'), { recursive: true })
  process.stdout.write(`✓ ${name}\n`)
}
