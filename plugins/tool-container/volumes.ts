import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node'
import { isObject, type Json, type JsonObject, ToolError } from '@noetl/core'
import { field, misfit, textField } from './fields.ts'

/**
 * Volumes in short: `{mount_path, secret | config_map | claim: name, read_only?, sub_path?}`, or
 * `{mount_path, empty_dir: true}`. Folders of the node are not offered.
 */
export function volumesOf(job: JsonObject): { volumes: V1Volume[]; mounts: V1VolumeMount[] } {
  const given = field(job, 'volumes') ?? []
  if (!Array.isArray(given)) throw misfit('volumes', 'a list', given)
  const made = given.map(volumeOf)
  return { volumes: made.map(({ volume }) => volume), mounts: made.map(({ mount }) => mount) }
}

function volumeOf(item: Json, index: number): { volume: V1Volume; mount: V1VolumeMount } {
  if (!isObject(item)) throw misfit(`volumes[${index}]`, 'a mapping', item)
  const mountPath = textField(item, 'mount_path')
  const source = sourceOf(item)
  if (mountPath === undefined || source === undefined) {
    throw new ToolError(
      'schema',
      `volumes[${index}] needs "mount_path" and one of "secret", "config_map", "claim" with a name, or "empty_dir: true".`,
    )
  }
  const name = `volume-${index}`
  const subPath = textField(item, 'sub_path')
  const readOnly = field(item, 'read_only') === true
  return {
    volume: { name, ...source },
    mount: {
      name,
      mountPath,
      ...(readOnly ? { readOnly } : {}),
      ...(subPath === undefined ? {} : { subPath }),
    },
  }
}

function sourceOf(item: JsonObject): Omit<V1Volume, 'name'> | undefined {
  const secretName = textField(item, 'secret')
  if (secretName !== undefined) return { secret: { secretName } }
  const name = textField(item, 'config_map')
  if (name !== undefined) return { configMap: { name } }
  const claimName = textField(item, 'claim')
  if (claimName !== undefined) return { persistentVolumeClaim: { claimName } }
  return field(item, 'empty_dir') === true ? { emptyDir: {} } : undefined
}
