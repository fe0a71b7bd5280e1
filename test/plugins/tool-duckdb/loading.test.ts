import { registerHooks } from 'node:module'
import t from 'tap'
import { duckdbTool } from '../../../plugins/tool-duckdb/tool.ts'
import { toolCall, toolFailure } from '../../support/tool-call.ts'

t.test('duckdb loading: what kept the library from loading once does not fail later calls', async (t) => {
  const tool = duckdbTool()
  t.teardown(() => tool.close?.())
  const run = () => tool.run({ query: 'SELECT 1 AS n' }, toolCall())
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === './engine.ts') throw new Error('EMFILE: too many open files')
      return next(specifier, context)
    },
  })
  try {
    const failure = await toolFailure(run())
    t.match(failure, { kind: 'tool_error', message: /native library cannot be loaded .*too many open files/ })
  } finally {
    hooks.deregister()
  }
  t.match(await run(), { rows: [{ n: 1 }] })
})
