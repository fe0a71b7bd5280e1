import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node'
import { CONTAINER } from './manifest.ts'

/** What keeps a pod from starting. */
export interface Trouble {
  kind: 'image' | 'config' | 'schedule' | 'no-pod'
  /** As Kubernetes names it: `ImagePullBackOff`, `Unschedulable`. */
  reason: string
  message: string
  /** It does not pass by waiting. */
  final: boolean
}

/** Reasons for which a container waits, and whether waiting can help. */
const WAITING: Readonly<Record<string, { kind: Trouble['kind']; final: boolean }>> = {
  ErrImagePull: { kind: 'image', final: false },
  ImagePullBackOff: { kind: 'image', final: false },
  ImageInspectError: { kind: 'image', final: false },
  RegistryUnavailable: { kind: 'image', final: false },
  ErrImageNeverPull: { kind: 'image', final: true },
  InvalidImageName: { kind: 'image', final: true },
  CreateContainerConfigError: { kind: 'config', final: false },
  CreateContainerError: { kind: 'config', final: false },
  RunContainerError: { kind: 'config', final: false },
}

/** What keeps the Job's newest pod from starting; null when nothing does, or it has started. */
export function troubleOf(pods: readonly V1Pod[]): Trouble | null {
  const pod = newest(pods)
  if (pod === undefined) {
    return { kind: 'no-pod', reason: 'NoPod', message: 'no pod was made for it', final: false }
  }
  if (hasStarted(pods)) return null
  const waiting = containerOf(pod)?.state?.waiting
  const known = WAITING[waiting?.reason ?? '']
  if (waiting?.reason !== undefined && known !== undefined) {
    return { ...known, reason: waiting.reason, message: waiting.message ?? '' }
  }
  const scheduled = pod.status?.conditions?.find(({ type }) => type === 'PodScheduled')
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable') {
    return { kind: 'schedule', reason: scheduled.reason, message: scheduled.message ?? '', final: false }
  }
  return null
}

/** True once the container of the newest pod runs or ran. */
export function hasStarted(pods: readonly V1Pod[]): boolean {
  const pod = newest(pods)
  if (pod === undefined) return false
  const state = containerOf(pod)?.state
  const { phase } = pod.status ?? {}
  return (
    state?.running !== undefined ||
    state?.terminated !== undefined ||
    phase === 'Succeeded' ||
    phase === 'Failed'
  )
}

/** How a pod's container ended. */
export interface Ended {
  pod: string
  exitCode: number | null
  /** `Completed`, `Error`, `OOMKilled`, `Evicted`. */
  reason: string
  message: string
  startedAt: string | null
  finishedAt: string | null
}

/** The pod that tells how the Job ended: the one that succeeded, else the newest. */
export function endOfPods(pods: readonly V1Pod[]): Ended | null {
  const succeeded = pods.filter(({ status }) => status?.phase === 'Succeeded')
  const pod = newest(succeeded.length > 0 ? succeeded : pods)
  if (pod === undefined) return null
  const status = containerOf(pod)
  const ended = status?.state?.terminated ?? status?.lastState?.terminated
  return {
    pod: pod.metadata?.name ?? '',
    exitCode: ended?.exitCode ?? null,
    reason: ended?.reason ?? pod.status?.reason ?? '',
    message: ended?.message ?? pod.status?.message ?? '',
    startedAt: timeText(ended?.startedAt ?? pod.status?.startTime),
    finishedAt: timeText(ended?.finishedAt),
  }
}

export function timeText(time: Date | undefined): string | null {
  return time === undefined || Number.isNaN(time.getTime()) ? null : time.toISOString()
}

function newest(pods: readonly V1Pod[]): V1Pod | undefined {
  const madeAt = (pod: V1Pod) => pod.metadata?.creationTimestamp?.getTime() ?? 0
  return pods.toSorted((a, b) => madeAt(a) - madeAt(b)).at(-1)
}

function containerOf(pod: V1Pod): V1ContainerStatus | undefined {
  return pod.status?.containerStatuses?.find(({ name }) => name === CONTAINER)
}
