import { StringDecoder } from 'node:string_decoder'

/** Characters without a newline after which a line is taken as ended. */
const MAX_LINE = 65_536

/** Makes lines of the bytes of one stream. */
export function lineReader(onLine: (line: string) => void): { read(bytes: Buffer): void; end(): void } {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  function take(text: string): void {
    const lines = (rest + text).split('\n')
    rest = lines.pop()!
    for (const line of lines) onLine(line)
    if (rest.length > MAX_LINE) finish()
  }
  function finish(): void {
    if (rest === '') return
    const line = rest
    rest = ''
    onLine(line)
  }
  return {
    read: (bytes) => take(decoder.write(bytes)),
    end() {
      take(decoder.end())
      finish()
    },
  }
}
