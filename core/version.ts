import { existsSync, readFileSync } from 'node:fs'

/** Beside this file in the sources, one folder up from the built ones. */
const MANIFEST = ['./package.json', '../package.json']
  .map((path) => new URL(path, import.meta.url))
  .find((url) => existsSync(url))!

/** Of this package. */
export const { version } = JSON.parse(readFileSync(MANIFEST, 'utf8')) as { version: string }
