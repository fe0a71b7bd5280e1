/** Frames as the runner speaks them: four bytes of length, big-endian, then JSON. */
export function encodeFrame(value: object): Buffer {
  const body = Buffer.from(JSON.stringify(value), 'utf8')
  const frame = Buffer.allocUnsafe(4 + body.length)
  frame.writeUInt32BE(body.length, 0)
  body.copy(frame, 4)
  return frame
}

/** Puts frames together from the parts in which they arrive. Throws when one is longer than `maxBytes`. */
export function frameReader(maxBytes: number, onFrame: (text: string) => void): (part: Buffer) => void {
  let parts: Buffer[] = []
  let have = 0
  return (part) => {
    parts.push(part)
    have += part.length
    for (;;) {
      if (have < 4) return
      if (parts[0]!.length < 4) parts = [Buffer.concat(parts)]
      const length = parts[0]!.readUInt32BE(0)
      if (length > maxBytes)
        throw new Error(`a frame of ${length} bytes came; at most ${maxBytes} were expected`)
      if (have < 4 + length) return
      const all = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
      const rest = all.subarray(4 + length)
      parts = rest.length === 0 ? [] : [rest]
      have = rest.length
      onFrame(all.toString('utf8', 4, 4 + length))
    }
  }
}
