/** What the supports need of a tap test. */
export interface Teardown {
  teardown(fn: () => unknown): void
}
