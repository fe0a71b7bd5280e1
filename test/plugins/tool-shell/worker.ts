// A program that is a worker for a test: runs a command, and says `ready` once the command wrote a file.
import { existsSync } from 'node:fs'
import { shellTool } from '../../../plugins/tool-shell/tool.ts'
import { toolCall } from '../../support/tool-call.ts'
import { until } from '../../support/wait.ts'

const [, , command = '', file = ''] = process.argv
const running = shellTool().run({ command }, toolCall())
await until('the file', () => existsSync(file))
process.stdout.write('ready')
await running
