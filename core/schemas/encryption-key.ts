export interface EncryptionKey {
  /** Short name of the key, made from it, stored beside what it sealed. */
  id: string
  bytes: Buffer
}
