/** Resolves when the process is told to stop; a second signal ends it at once. */
export function untilStopped(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let stopping = false
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (stopping && signal !== 'SIGHUP') process.exit(signal === 'SIGINT' ? 130 : 143)
        stopping = true
        resolve(signal)
      })
    }
  })
}
