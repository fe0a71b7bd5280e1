import { StringDecoder } from 'node:string_decoder'

/** Characters without a newline after which a line is taken as ended. */
const MAX_LINE = 65_536

export interface LineReader {
  read(part: Buffer): void
  /** Gives the last line, which had no newline. */
  end(): void
}

/** Makes lines of the bytes of one stream. */
export function lineReader(onLine: (line: string) => void): LineReader {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const finish = () => {
    if (rest !== '') onLine(rest)
    rest = ''
  }
  const take = (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
    if (rest.length > MAX_LINE) finish()
  }
  return {
    read: (part) => take(decoder.write(part)),
    end() {
      take(decoder.end())
      finish()
    },
  }
}
