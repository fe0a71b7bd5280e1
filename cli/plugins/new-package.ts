/** The files of a new tool plugin, by name: one that passes its lint, types, conformance and tests as it is. */
export function newPackage(about: { name: string; kind: string; coreRange: string }): Record<string, string> {
  const { name, kind, coreRange } = about
  // Short lists on one line, as the formatter has them.
  const json = (value: unknown) =>
    `${JSON.stringify(value, null, 2).replace(/\[\s+("[^"]*")\s+\]/g, '[$1]')}\n`
  return {
    'package.json': json({
      name,
      version: '0.1.0',
      description: `The tool kind ${kind} for the NoETL gateway`,
      type: 'module',
      engines: { node: '>=22' },
      exports: { '.': './index.js', './package.json': './package.json' },
      files: ['index.js', 'tool.js'],
      noetl: { contract: 1, kinds: [kind], roles: ['worker'] },
      scripts: { lint: 'biome check .', types: 'tsc', test: 'node --test' },
      peerDependencies: { '@noetl/core': coreRange },
      dependencies: { 'fastify-plugin': '^6.0.1', typebox: '^1.4.3' },
      devDependencies: { '@biomejs/biome': '^2.6.8', '@types/node': '^24.0.0', typescript: '^7.0.2' },
    }),
    'tool.js': `import { CONTRACT, defineTool, ToolError } from '@noetl/core'
import { Type } from 'typebox'

/** The tool itself, which knows no Fastify and is tested without one. */
export const makeTool = () =>
  defineTool({
    kind: '${kind}',
    contract: CONTRACT,
    input: Type.Object({ text: Type.String({ minLength: 1 }) }, { additionalProperties: true }),
    output: Type.Object({ text: Type.String() }),
    effect: 'pure',
    async run({ text }, call) {
      call.signal.throwIfAborted()
      if (text === 'no') throw new ToolError('client_error', 'The text is "no", which is not taken.')
      return { text }
    },
  })
`,
    'index.js': `import fp from 'fastify-plugin'
import { makeTool } from './tool.js'

/** @param {import('fastify').FastifyInstance} app */
async function plugin(app) {
  app.registerTool(makeTool())
}

export default fp(plugin, {
  name: '${name}',
  fastify: '5.x',
  decorators: { fastify: ['registerTool'] },
})
`,
    'test.js': `import assert from 'node:assert/strict'
import test from 'node:test'
import { conformanceCases } from '@noetl/core/conformance'
import { makeTool } from './tool.js'

for (const { name, run } of conformanceCases({
  makeTool,
  works: { input: { text: 'hi' }, check: (result) => assert.deepEqual(result, { text: 'hi' }) },
  fails: { input: { text: 'no' }, kind: 'client_error' },
  refused: { input: { text: 7 } },
})) {
  test(\`${kind}: \${name}\`, run)
}
`,
    'README.md': `# ${name}

The tool kind \`${kind}\` for the NoETL gateway.

\`\`\`yaml
- step: start
  tool: { kind: ${kind}, text: hi }
\`\`\`

| field | |
| --- | --- |
| \`text\` | what is given back |

\`npm install\`, then \`npm test\`, \`npm run types\`, \`npm run lint\`. Try it with \`noetlctl plugins link .\`.
`,
    'tsconfig.json': json({
      compilerOptions: {
        ...{ target: 'es2024', module: 'nodenext', types: ['node'], noEmit: true },
        ...{ allowJs: true, checkJs: true, strict: true, skipLibCheck: true },
      },
      include: ['*.js'],
    }),
    'biome.json': json({
      files: { includes: ['*.js'] },
      formatter: { indentStyle: 'space', lineWidth: 110 },
      javascript: { formatter: { quoteStyle: 'single', semicolons: 'asNeeded' } },
    }),
    '.gitignore': 'node_modules\n*.tgz\n',
  }
}
