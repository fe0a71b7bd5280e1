import { nkeys } from 'nats'

type KeyPair = ReturnType<typeof nkeys.createUser>

/** A server's configuration in which users prove who they are with a credentials file, and such a file. */
export function operatorMode(): { config: string; creds: string } {
  const [operator, account, system, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ]
  const unlimited = { subs: -1, conn: -1, leaf: -1, imports: -1, exports: -1, data: -1, payload: -1 }
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 }
  const ofAccount = (limits: object) => ({ type: 'account', version: 2, limits })
  const operatorJwt = sign(operator, operator, {
    type: 'operator',
    version: 2,
    system_account: system.getPublicKey(),
  })
  const accountJwt = sign(operator, account, ofAccount({ ...unlimited, ...storage, wildcards: true }))
  const systemJwt = sign(operator, system, ofAccount({ ...unlimited, wildcards: true }))
  const userJwt = sign(account, user, { type: 'user', version: 2, subs: -1, data: -1, payload: -1 })
  return {
    config: `operator: ${operatorJwt}
resolver: MEMORY
resolver_preload: {
  ${account.getPublicKey()}: ${accountJwt}
  ${system.getPublicKey()}: ${systemJwt}
}`,
    creds: `-----BEGIN NATS USER JWT-----
${userJwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${new TextDecoder().decode(user.getSeed())}
------END USER NKEY SEED------
`,
  }
}

function sign(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = {
    jti: 'test',
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: 'test',
    nats,
  }
  const text = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString('base64url')}`
}
