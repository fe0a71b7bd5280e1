import { readdirSync, readFileSync } from 'node:fs'

/** True while the process runs. One that ended and was not waited for by its parent does not. */
export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  return stateOf(pid) !== 'Z'
}

/** Children of this process that were started and not yet waited for, by their state. */
export function children(): { pid: number; state: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => partsOf(pid)[1] === String(process.pid))
    .map((pid) => ({ pid, state: stateOf(pid) }))
}

function stateOf(pid: number): string {
  return partsOf(pid)[0] ?? ''
}

/** State, parent, group and so on; nothing when the process is gone. */
function partsOf(pid: number): string[] {
  try {
    // The name of the program comes first, in brackets, and may hold anything.
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
  } catch {
    return []
  }
}
