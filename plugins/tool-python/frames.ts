const HEADER_BYTES = 9

/** What a frame is: to the interpreter a call, or the end of one; from it all the others. */
export const FRAME = { call: 1, kill: 2 } as const
export const TOLD = {
  ready: 0,
  stdout: 1,
  stderr: 2,
  stdoutDropped: 3,
  stderrDropped: 4,
  replyPart: 5,
  replyEnd: 6,
  ended: 7,
} as const

export interface Frame {
  kind: number
  /** The number of the call. */
  call: number
  body: Buffer
}

/** Frames as parent.py speaks them: length of the body (four bytes, big-endian), kind, number of the call, body. */
export function encodeFrame(kind: number, call: number, text = ''): Buffer {
  const length = Buffer.byteLength(text)
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length)
  frame.writeUInt32BE(length, 0)
  frame.writeUInt8(kind, 4)
  frame.writeUInt32BE(call, 5)
  frame.write(text, HEADER_BYTES)
  return frame
}

/** Puts frames together from the parts in which they arrive. */
export function frameReader(onFrame: (frame: Frame) => void): (part: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (part) => {
    let have = rest.length === 0 ? part : Buffer.concat([rest, part])
    while (have.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + have.readUInt32BE(0)
      if (have.length < end) break
      const frame = {
        kind: have.readUInt8(4),
        call: have.readUInt32BE(5),
        body: have.subarray(HEADER_BYTES, end),
      }
      have = have.subarray(end)
      onFrame(frame)
    }
    rest = have
  }
}
