import { ToolError } from '@noetl/core'

export interface Limits {
  /** Bytes of one value of a bucket, or of one message. */
  maxValueBytes: number
  /** Bytes of one object. */
  maxObjectBytes: number
  /** Keys or objects of one list. */
  maxKeys: number
}

/** Refuses what was read and is larger than one result should be. */
export function refuseLarge(
  bytes: number,
  what: string,
  limit: { bytes: number; option: 'maxValueBytes' | 'maxObjectBytes' },
): void {
  if (bytes <= limit.bytes) return
  throw new ToolError(
    'tool_error',
    `${what} has ${bytes} bytes, over the limit of ${limit.bytes}: raise ${limit.option} of the nats tool.`,
  )
}

/** The failure of a list that is longer than the limit: a part of it would look like the whole. */
export function tooMany(
  bucket: string,
  { what, maxKeys }: { what: 'keys' | 'objects'; maxKeys: number },
): ToolError {
  const advice = what === 'keys' ? 'narrow it with a filter in "key", or raise' : 'raise'
  return new ToolError(
    'tool_error',
    `Bucket "${bucket}" has more than ${maxKeys} ${what}, the limit for one list: ${advice} maxKeys of the nats tool.`,
  )
}
