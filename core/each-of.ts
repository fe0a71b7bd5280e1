/** Takes every item, so many at once. The first failure is thrown when what was under way has ended. */
export async function eachOf<T>(
  items: Iterable<T>,
  atOnce: number,
  take: (item: T) => Promise<void>,
): Promise<void> {
  const left = [...items].values()
  let failure: { error: unknown } | undefined
  const taker = async () => {
    for (const item of left) {
      if (failure !== undefined) return
      await take(item).catch((error: unknown) => {
        failure ??= { error }
      })
    }
  }
  await Promise.all(Array.from({ length: atOnce }, taker))
  if (failure !== undefined) throw failure.error
}
