#!/usr/bin/env node
// Runs the sources. Needs the flags that bin/run.js gives: --conditions=@noetl/source --import=tsx
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { execute, settings } from '@oclif/core'

settings.enableAutoTranspile = false
const root = fileURLToPath(new URL('..', import.meta.url))
const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
pjson.oclif.commands = './commands'
pjson.oclif.hooks.command_not_found = './hooks/command-not-found.ts'
await execute({ dir: import.meta.url, loadOptions: { root, pjson } })
