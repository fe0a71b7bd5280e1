/** Sets an own key, whatever its name: plain assignment to `__proto__` would set the prototype instead. */
export function put(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  } else object[key] = value
}

/** Lays the own keys of others over an object, whatever their names: `Object.assign` would lose `__proto__`. */
export function lay(object: Record<string, unknown>, ...others: readonly (object | undefined)[]): void {
  for (const other of others) {
    for (const [key, value] of Object.entries(other ?? {})) put(object, key, value)
  }
}
