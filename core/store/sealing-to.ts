import {
  createCipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import type { JsonObject } from '../schemas/json.ts'

/** What stands before the 32 bytes of an X25519 key in its DER form (RFC 8410). */
const SPKI = Buffer.from('302a300506032b656e032100', 'hex')

export const SEAL_ALGORITHM = 'x25519-hkdf-sha256-aes-256-gcm'

/** An X25519 key as workers register it, 32 bytes in base64; undefined for anything else, also for a weak one. */
export function readPublicKey(text: unknown): KeyObject | undefined {
  if (typeof text !== 'string' || text.length > 100) return undefined
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== 32 || bytes.toString('base64') !== text) return undefined
  try {
    const key = createPublicKey({ key: Buffer.concat([SPKI, bytes]), type: 'spki', format: 'der' })
    // A key of small order gives a secret that everyone knows; it is refused here.
    diffieHellman({ privateKey: generateKeyPairSync('x25519').privateKey, publicKey: key })
    return key
  } catch {
    return undefined
  }
}

/**
 * Seals data for the holder of a key: a key of our own for this once, the secret that both make of it through
 * HKDF (salt: our public key and theirs), AES-256-GCM. `place` is bound to it. All in base64.
 */
export function sealTo(
  publicKey: KeyObject,
  place: string,
  data: JsonObject,
): { algorithm: string; ephemeral_public_key: string; nonce: string; ciphertext: string } {
  const own = generateKeyPairSync('x25519')
  const [ours, theirs] = [rawOf(own.publicKey), rawOf(publicKey)]
  const secret = diffieHellman({ privateKey: own.privateKey, publicKey })
  const key = Buffer.from(hkdfSync('sha256', secret, Buffer.concat([ours, theirs]), 'noetl credential', 32))
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(place))
  const sealed = Buffer.concat([cipher.update(JSON.stringify(data), 'utf8'), cipher.final()])
  return {
    algorithm: SEAL_ALGORITHM,
    ephemeral_public_key: ours.toString('base64'),
    nonce: nonce.toString('base64'),
    ciphertext: Buffer.concat([sealed, cipher.getAuthTag()]).toString('base64'),
  }
}

function rawOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' }).subarray(SPKI.length)
}
