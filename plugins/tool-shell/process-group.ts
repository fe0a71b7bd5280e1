import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'

/** How long SIGKILL is waited for, in milliseconds: only a process stuck in the kernel outlives it. */
const KILL_MS = 500

/**
 * Ends all processes of a group: SIGTERM, and SIGKILL for what is still there after the grace. Resolves when
 * the group is gone. The number of a group is not given to another while one process is left in it, so that
 * a late signal meets nobody else.
 */
export async function endGroup(group: number, graceMs: number): Promise<void> {
  if (!signalGroup(group, 'SIGTERM')) return
  if (await goneWithin(group, graceMs)) return
  signalGroup(group, 'SIGKILL')
  await goneWithin(group, KILL_MS)
}

/** False when no process is left in the group. */
function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal)
    return true
  } catch (error) {
    // EPERM: there are some, of another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

async function goneWithin(group: number, ms: number): Promise<boolean> {
  const end = performance.now() + ms
  for (let pause = 2; signalGroup(group, 0) && !(await onlyZombies(group)); pause = Math.min(pause * 2, 50)) {
    if (performance.now() > end) return false
    await wait(pause)
  }
  return true
}

/**
 * True when all that is left of a group has ended and waits for its parent to take notice. For what a command
 * left behind that is the first process of the machine or container, which may be slow to do so or never do.
 * Where there is no /proc nothing is known, and the group counts as running.
 */
async function onlyZombies(group: number): Promise<boolean> {
  const names = await readdir('/proc').catch((): string[] => [])
  const states = await Promise.all(
    names.filter((name) => /^\d+$/.test(name)).map((pid) => stateIn(group, pid)),
  )
  const members = states.filter((state) => state !== undefined)
  return members.length > 0 && members.every((state) => state === 'Z' || state === 'X')
}

/** The letter of a process's state, if it is of that group. */
async function stateIn(group: number, pid: string): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name of the program comes before, in brackets, and may hold anything.
  const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return pgrp === String(group) ? state : undefined
}
