import { conformanceCases } from '@noetl/core/conformance'
import t from 'tap'
import { shellTool } from '../../../plugins/tool-shell/tool.ts'

for (const { name, run } of conformanceCases({
  makeTool: () => shellTool(),
  works: {
    input: { cmds: ['echo "$WHO"', 'echo two >&2'], env: { WHO: 'hush' } },
    check: (result) =>
      t.same(result, {
        exit_code: 0,
        stdout: 'hush\n',
        stderr: 'two\n',
        commands: [
          { exit_code: 0, stdout: 'hush\n', stderr: '' },
          { exit_code: 0, stdout: '', stderr: 'two\n' },
        ],
      }),
  },
  fails: { input: { command: 'test "$TOKEN" = other', env: { TOKEN: 's3cret' } }, kind: 'tool_error' },
  slow: { input: { command: 'sleep 60 & sleep 61' } },
  refused: { input: { command: 7 } },
  secrets: ['s3cret'],
})) {
  t.test(`shell conforms: ${name}`, run)
}
