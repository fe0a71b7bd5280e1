/** The URL as a message may show it: no user, password, query or fragment, any of which can hold a secret. */
export function showUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`
}

/** The URL as a result may show it: whole, without user and password. */
export function withoutUserinfo(url: URL): string {
  const plain = new URL(url)
  plain.username = ''
  plain.password = ''
  return plain.href
}
