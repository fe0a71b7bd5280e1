#!/usr/bin/env node
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const OLDEST = 22
const here = fileURLToPath(new URL('.', import.meta.url))
// A package brings what was built; a checkout runs its sources, whether they were built or not.
const built = !existsSync(join(here, '../base-command.ts'))
const newEnough = Number(process.versions.node.split('.')[0]) >= OLDEST

if (built && newEnough) {
  const { execute } = await import('@oclif/core')
  await execute({ dir: import.meta.url })
} else {
  // On an older Node a checkout runs on the one that it pins.
  const node = newEnough ? process.execPath : pinnedNode()
  const flags = built
    ? [join(here, 'run.js')]
    : ['--conditions=@noetl/source', `--import=${import.meta.resolve('tsx')}`, join(here, 'dev.js')]
  const child = spawn(node, [...flags, ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // Ctrl-C reaches the child from the terminal; it decides when to end.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
    })
  }
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143)
  })
}

function pinnedNode() {
  try {
    const binary = join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', 'node')
    if (existsSync(binary)) return binary
  } catch {
    // Said below.
  }
  process.stderr.write(
    `noetlctl needs Node ${OLDEST} or newer; this is ${process.versions.node}. Install a newer one: https://nodejs.org\n`,
  )
  process.exit(1)
}
