import { nearest } from '@noetl/core'
import { Errors, type Hook } from '@oclif/core'
import { EXIT } from '../exit-codes.ts'

/** Names the commands that look like a wrong one, word for word; none when none does. */
const hook: Hook<'command_not_found'> = async ({ id, config, argv = [] }) => {
  const wrong = id.split(':')
  const known = config.commands.filter((command) => !command.hidden).map((command) => command.id.split(':'))
  const topic = known.some(([first]) => first === wrong[0])
  const like = (sought: string[]) =>
    known.filter(
      (words) =>
        words.length === sought.length &&
        words.every((word, i) => nearest(sought[i] ?? '', [word]).length > 0),
    )
  // `playbok list` comes as the words `playbok` and `list`.
  const near = [...like(wrong), ...(argv[0] === undefined ? [] : like([...wrong, argv[0]]))]
  const hint = near.length === 0 ? '' : ` Near: ${near.map((words) => words.join(' ')).join(', ')}.`
  throw new Errors.CLIError(
    `${wrong.join(' ')} is no command.${hint} See: noetlctl ${topic ? `${wrong[0]} ` : ''}--help`,
    { exit: EXIT.usage },
  )
}

export default hook
