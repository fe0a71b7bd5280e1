/** Waits for an end, but no longer than so many milliseconds; what fails has ended. */
export async function within(ms: number, ending: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([ending.catch(() => undefined), over])
  clearTimeout(timer)
}
