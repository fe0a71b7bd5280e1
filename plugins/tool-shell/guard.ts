import { type ChildProcess, spawn } from 'node:child_process'

/**
 * Ends what commands run when the worker dies, however it dies: a shell that is told which process groups
 * there are and kills them once its input ends, which is when the worker that holds the other end is gone.
 * Without it a command of a killed worker would go on beside its repetition on another.
 */
export interface Guard {
  /** Starts it, if it does not run: before a command starts, so that the two follow each other at once. */
  ready(): void
  /** Adds a process group; the function that comes back takes it away. */
  watch(group: number): () => void
  /** Ends the guard; safe twice. */
  close(): Promise<void>
}

const SCRIPT = `
groups=' '
while read -r what group; do
  case $what in
    +) groups="$groups$group " ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
`

/** Starts nothing before it is needed. */
export function makeGuard(): Guard {
  const groups = new Set<number>()
  let child: ChildProcess | undefined
  let ended: Promise<void> = Promise.resolve()

  function start(): ChildProcess {
    // A session of its own: a Ctrl-C at the worker's terminal is not for the guard.
    const started = spawn('/bin/sh', ['-c', SCRIPT], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      env: {},
    })
    ended = new Promise((resolve) => {
      const onEnd = () => {
        if (child === started) child = undefined
        resolve()
      }
      started.once('exit', onEnd)
      started.once('error', onEnd)
    })
    // It may have been killed: the next watch starts another.
    started.stdin?.on('error', () => {})
    started.unref()
    if (started.stdin !== null && 'unref' in started.stdin && typeof started.stdin.unref === 'function')
      started.stdin.unref()
    for (const group of groups) started.stdin?.write(`+ ${group}\n`)
    return started
  }

  return {
    ready() {
      child ??= start()
    },
    watch(group) {
      groups.add(group)
      child?.stdin?.write(`+ ${group}\n`)
      return () => {
        groups.delete(group)
        child?.stdin?.write(`- ${group}\n`)
      }
    },
    async close() {
      if (child === undefined) return
      child.ref()
      child.stdin?.end()
      await ended
    },
  }
}
