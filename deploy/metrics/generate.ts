// Writes what is made from the contract of the metrics: `npm run metrics`.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FILES } from './files.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

for (const [file, make] of Object.entries(FILES)) {
  mkdirSync(dirname(join(ROOT, file)), { recursive: true })
  writeFileSync(join(ROOT, file), make())
  process.stdout.write(`✓ ${file}\n`)
}
