/** The room that the output of all commands of a call has together, in bytes. */
export interface Room {
  left: number
  /** Called once, when something did not fit. */
  onFull(): void
}

/** What one stream of a command wrote, as far as there was room. */
export interface Captured {
  add(part: Buffer): void
  /** As text: bytes that are no UTF-8 become U+FFFD. */
  text(): string
}

export function capture(room: Room): Captured {
  // One buffer that grows: a command that writes byte by byte would leave millions of small ones.
  let bytes = Buffer.alloc(0)
  let length = 0
  return {
    add(part) {
      const fitting = part.length <= room.left ? part : part.subarray(0, room.left)
      if (length + fitting.length > bytes.length) {
        const larger = Buffer.allocUnsafe(Math.max(length + fitting.length, 2 * bytes.length, 1024))
        bytes.copy(larger, 0, 0, length)
        bytes = larger
      }
      fitting.copy(bytes, length)
      length += fitting.length
      room.left -= fitting.length
      if (fitting.length < part.length) room.onFull()
    },
    text: () => bytes.toString('utf8', 0, length),
  }
}
