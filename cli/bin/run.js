#!/usr/bin/env node
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

if (existsSync(new URL('../dist/commands', import.meta.url))) {
  const { execute } = await import('@oclif/core')
  await execute({ dir: import.meta.url })
} else {
  // A checkout that was not built: the sources, by tsx.
  const dev = fileURLToPath(new URL('./dev.js', import.meta.url))
  const flags = ['--conditions=@noetl/source', `--import=${import.meta.resolve('tsx')}`]
  const child = spawn(process.execPath, [...flags, dev, ...process.argv.slice(2)], { stdio: 'inherit' })
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
