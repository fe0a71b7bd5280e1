import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { makeError } from '../errors.ts'
import type { EncryptionKey } from '../schemas/encryption-key.ts'
import { type JsonObject, parseJson, writeJson } from '../schemas/json.ts'

/** Data as it is stored: sealed, with the name of the key that opens it. */
export interface Sealed {
  key_id: string
  sealed: Buffer
}

/**
 * Seals data with AES-256-GCM: nonce, tag, ciphertext. `place` is bound to it: what is moved to another row
 * cannot be opened there. Throws NOETL_ERR_CREDENTIAL_KEY_MISSING.
 */
export function seal(key: EncryptionKey | undefined, place: string, data: JsonObject): Sealed {
  const { id, bytes } = demand(key)
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', bytes, nonce).setAAD(Buffer.from(place))
  const sealed = Buffer.concat([cipher.update(writeJson(data), 'utf8'), cipher.final()])
  return { key_id: id, sealed: Buffer.concat([nonce, cipher.getAuthTag(), sealed]) }
}

/** Opens what was sealed. Throws NOETL_ERR_CREDENTIAL_KEY_MISSING or NOETL_ERR_CREDENTIAL_KEY_WRONG. */
export function unseal(
  key: EncryptionKey | undefined,
  { place, name, row }: { place: string; name: string; row: Sealed },
): JsonObject {
  const { id, bytes } = demand(key)
  if (row.key_id !== id) throw makeError('NOETL_ERR_CREDENTIAL_KEY_WRONG', [name, row.key_id, id])
  const decipher = createDecipheriv('aes-256-gcm', bytes, row.sealed.subarray(0, 12))
    .setAAD(Buffer.from(place))
    .setAuthTag(row.sealed.subarray(12, 28))
  const text = Buffer.concat([decipher.update(row.sealed.subarray(28)), decipher.final()])
  return parseJson(text.toString('utf8')) as JsonObject
}

function demand(key: EncryptionKey | undefined): EncryptionKey {
  if (key === undefined) throw makeError('NOETL_ERR_CREDENTIAL_KEY_MISSING', [])
  return key
}
