import { registerHooks } from 'node:module'
import t from 'tap'
import { toolCall, toolFailure } from '../../support/tool-call.ts'

t.test('the Kubernetes client is loaded by the first call, not with the plugin', async (t) => {
  const loaded: string[] = []
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      loaded.push(specifier)
      return next(specifier, context)
    },
  })
  t.teardown(() => hooks.deregister())
  const {
    containerTool,
    scriptTool,
    default: plugin,
  } = await import('../../../plugins/tool-container/index.ts')
  t.type(plugin, 'function')
  const tools = [containerTool(), scriptTool()]
  t.teardown(() => Promise.all(tools.map((tool) => tool.close?.())))
  t.ok(
    loaded.some((specifier) => specifier.endsWith('tool.ts')),
    'the hook hears of imports',
  )
  t.notOk(loaded.includes('@kubernetes/client-node'))
  await toolFailure(tools[0]!.run({ image: '' }, toolCall()))
  t.notOk(loaded.includes('@kubernetes/client-node'), 'nor by one that is refused before')
  await toolFailure(tools[0]!.run({ image: 'a', auth: 'absent' }, toolCall()))
  t.ok(loaded.includes('@kubernetes/client-node'))
})
