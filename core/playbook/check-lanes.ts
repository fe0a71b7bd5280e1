import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { laneHint } from '../schemas/lanes.ts'
import { stepsOf } from './check-sites.ts'
import { type Faults, nearest, type Path } from './faults.ts'

/** A lane that is named and is not there is a fault: what is put into it would wait for ever. */
export function checkLanes(root: JsonObject, lanes: readonly string[], faults: Faults): void {
  const look = (spec: Json | undefined, path: Path) => {
    const lane = isObject(spec) ? spec.lane : undefined
    if (typeof lane !== 'string' || lanes.includes(lane)) return
    faults.fault(
      [...path, 'spec', 'lane'],
      `lane "${lane}" is unknown; there is ${lanes.join(', ')}.${laneHint(lanes)}`,
      nearest(lane, lanes)[0],
    )
  }
  const lookAtArcs = (next: Json | undefined, path: Path): void => {
    if (Array.isArray(next)) for (const [i, item] of next.entries()) lookAtArcs(item, [...path, i])
    if (!isObject(next)) return
    if ('step' in next) look(next.spec, path)
    for (const key of ['arcs', 'then', 'else', 'next']) lookAtArcs(next[key], [...path, key])
  }
  if (isObject(root.executor)) look(root.executor.spec, ['executor'])
  for (const { value, path } of stepsOf(root)) {
    look(value.spec, path)
    lookAtArcs(value.next, [...path, 'next'])
  }
}
