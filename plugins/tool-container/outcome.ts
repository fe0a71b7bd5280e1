import type { V1Job } from '@kubernetes/client-node'
import { type JsonObject, ToolError } from '@noetl/core'
import type { At } from './cluster.ts'
import { dataOf, type Logs, lastLines } from './logs.ts'
import type { JobPlan } from './manifest.ts'
import { type Ended, type Trouble, timeText } from './pods.ts'

/** How the cluster says that a Job ended. */
export type End = { state: 'complete' | 'failed'; reason: string; message: string }

/** Null while the Job is under way. */
export function endOfJob({ status }: V1Job): End | null {
  for (const { type, status: is, reason = '', message = '' } of status?.conditions ?? []) {
    if (is !== 'True') continue
    if (type === 'Complete') return { state: 'complete', reason, message }
    if (type === 'Failed') return { state: 'failed', reason, message }
  }
  return null
}

/** The result of a Job that has ended well; throws the failure of one that has not. */
export function outcome(
  job: V1Job,
  about: { end: End; ended: Ended | null; logs: Logs; at: At; plan: JobPlan; adopted: boolean },
): JsonObject {
  const { end, ended, logs, at, adopted } = about
  const data = dataOf(logs.text)
  const facts: JsonObject = {
    job: at.name,
    namespace: at.namespace,
    pod: ended?.pod ?? null,
    exit_code: ended?.exitCode ?? (end.state === 'complete' ? 0 : null),
    logs: logs.text,
    logs_truncated: logs.truncated,
    adopted,
    started_at: ended?.startedAt ?? timeText(job.status?.startTime),
    finished_at: ended?.finishedAt ?? timeText(job.status?.completionTime),
    ...(data === undefined ? {} : { data }),
  }
  if (end.state === 'complete') return { status: 'success', ...facts }
  throw jobFailure({ status: 'failed', ...facts }, about)
}

function jobFailure(
  result: JsonObject,
  about: { end: End; ended: Ended | null; logs: Logs; plan: JobPlan; at: At },
): ToolError {
  const { end, ended, logs, plan, at } = about
  const job = `Job ${at.namespace}/${at.name}`
  const said = lastLines(logs.text, { lines: 5, characters: 1000 })
  const tail = said === '' ? ' It logged nothing.' : ` Its last lines: ${said}`
  if (end.reason === 'DeadlineExceeded') {
    return new ToolError('timeout', `${job} was stopped after ${plan.seconds} s, its limit.${tail}`, {
      code: end.reason,
      result,
    })
  }
  const code = ended?.exitCode ?? null
  const reason = ended?.reason ?? ''
  const why = [reason, ended?.message ?? ''].filter((part) => part !== '' && part !== 'Error').join(': ')
  const how =
    code === null
      ? `failed without an exit code (${[why, end.message].find((part) => part !== '') ?? end.reason})`
      : `failed with exit code ${code}${why === '' ? '' : ` (${why})`}`
  const hint = reason === 'OOMKilled' ? ' Give it more memory under "resources".' : ''
  return new ToolError('tool_error', `${job} ${how}.${hint}${tail}`, {
    code: code === null ? end.reason : `EXIT_${code}`,
    result,
  })
}

const ADVICE: Readonly<Record<Trouble['kind'], string>> = {
  image: 'Check the name of the image, and image_pull_secrets for a private registry.',
  config: 'Check the Secrets and ConfigMaps that env and volumes name, and the command.',
  schedule: 'Check resources, node_selector and volumes against the nodes there are.',
  'no-pod': 'A quota or a policy of the namespace may forbid it: see "kubectl describe job".',
}

/** The failure of a Job whose pod does not start. */
export function startFailure(
  trouble: Trouble,
  { plan, at, seconds }: { plan: JobPlan; at: At; seconds: number },
): ToolError {
  const image = plan.job.spec?.template.spec?.containers[0]?.image ?? ''
  const said = trouble.message.slice(0, 1000).replace(/\.+$/, '')
  const message = said === '' ? '' : `: ${said}`
  const long = trouble.final ? '' : ` for ${seconds} s`
  return new ToolError(
    'tool_error',
    `The pod of Job ${at.namespace}/${at.name} (image ${image}) did not start${long}, ${trouble.reason}${message}. ${ADVICE[trouble.kind]}`,
    { code: trouble.reason, retryable: trouble.kind === 'schedule' },
  )
}
