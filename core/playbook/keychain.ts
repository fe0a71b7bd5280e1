import { isObject, type Json } from '../schemas/json.ts'
import type { KeychainEntry } from '../schemas/playbook.ts'
import type { Faults } from './faults.ts'
import { text } from './values.ts'

/** `keychain: [{name, kind, …}]`. An entry that cannot be resolved is left undefined when its tool runs. */
export function readKeychain(value: Json | undefined, faults: Faults): KeychainEntry[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) {
    faults.fault(['keychain'], 'keychain must be a list of {name, kind, …}')
    return []
  }
  const names = new Set<string>()
  return value.flatMap((entry, i) => {
    const path = ['keychain', i]
    if (!isObject(entry)) {
      faults.fault(path, 'an entry of keychain must be a mapping {name, kind, …}')
      return []
    }
    const name = text(entry.name, [...path, 'name'], faults)
    if (name === undefined) {
      faults.fault(path, 'an entry of keychain needs a name')
      return []
    }
    if (names.has(name)) faults.fault([...path, 'name'], `there are two keychain entries named "${name}"`)
    names.add(name)
    const { name: _name, kind, ...config } = entry
    return [{ name, kind: typeof kind === 'string' ? kind : 'credential', config }]
  })
}
