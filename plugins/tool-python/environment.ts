/** What code may see of the worker's environment. Anything else may be a secret of the gateway. */
const PASSED = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'TZ',
  'TMPDIR',
  'VIRTUAL_ENV',
  'PYTHONPATH',
  'PYTHONHOME',
  'LD_LIBRARY_PATH',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'REQUESTS_CA_BUNDLE',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
]

/** The environment of an interpreter: the names above, `LC_*`, and those that the options add. */
export function environmentOf(env: NodeJS.ProcessEnv, passed: readonly string[]): NodeJS.ProcessEnv {
  const names = new Set([...PASSED, ...passed, ...Object.keys(env).filter((name) => name.startsWith('LC_'))])
  const chosen = [...names].flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]))
  return { ...Object.fromEntries(chosen), PYTHONDONTWRITEBYTECODE: '1' }
}
