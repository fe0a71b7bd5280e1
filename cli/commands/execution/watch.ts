import { Args, Flags } from '@oclif/core'
import { BaseCommand, requestFlags } from '../../base-command.ts'
import { EXIT } from '../../exit-codes.ts'
import { follow } from '../../follow.ts'
import { eventLine, summary } from '../../output/execution.ts'

export default class ExecutionWatch extends BaseCommand {
  static override summary = 'Follow an execution to its end'
  static override args = { id: Args.string({ required: true, description: 'id of the execution' }) }
  static override flags = {
    ...requestFlags,
    timeout: Flags.integer({
      min: 1,
      description: 'seconds to watch; then exit code 124, and the execution goes on',
    }),
    full: Flags.boolean({ description: 'show the result uncut' }),
  }

  async run(): Promise<object> {
    const { args, flags } = await this.parse(ExecutionWatch)
    const id = encodeURIComponent(args.id)
    const ended = await follow(this.client(flags), id, {
      ...(this.jsonEnabled()
        ? {}
        : {
            onEvent: (event) => {
              const line = eventLine(event)
              if (line !== undefined) this.log(line)
            },
          }),
      ...(flags.timeout === undefined ? {} : { timeoutSeconds: flags.timeout }),
    })
    if (ended === undefined) {
      process.exitCode = EXIT.timedOut
      this.logToStderr(`not done after ${flags.timeout} s; it goes on.`)
      return { execution_id: args.id, status: 'RUNNING', timed_out: true }
    }
    if (ended.status !== 'COMPLETED') process.exitCode = EXIT.failed
    this.log(summary(ended, { full: flags.full, result: true }))
    return ended
  }
}
