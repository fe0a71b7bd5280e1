import { isObject, type Json, type JsonObject } from '../schemas/json.ts'
import { EFFECTS, type Effect, type Playbook, type Task } from '../schemas/playbook.ts'
import { installHint } from '../schemas/plugin-packages.ts'
import { put } from '../schemas/put.ts'
import { type Faults, nearest, type Path } from './faults.ts'
import { readRetryBlock, readRules } from './rules.ts'
import { readSink } from './seed-sink.ts'
import { nameOf } from './seed-tasks.ts'
import { mapping, text, wordOf } from './values.ts'
import { fromWorkbook, type Workbook } from './workbook.ts'

/** Keys of a tool that say something of the task and are not the tool's own. */
export const TASK_KEYS: readonly string[] = [
  'name',
  'kind',
  'spec',
  'input',
  'args',
  'set',
  'retry',
  'output_select',
  'output',
  'desc',
  'effect',
  'probe',
  'sink',
  'description',
]
/** Kinds whose tool has a field that is called as the task's own: of a single one it is the tool's. */
const NAMED_THEMSELVES = ['secrets']
/** Kinds whose result was the plain list of rows in the first dialect. */
export const ROWS = ['postgres', 'duckdb', 'ducklake']

/** Kinds that a playbook may use; undefined: any, for one that was registered before. */
export type ToolKinds = readonly string[] | undefined

export interface TasksAbout {
  step: string
  dialect: Playbook['dialect']
  toolKinds: ToolKinds
  workbook: Workbook
  /** Arguments that the step itself gives. */
  given?: JsonObject
  /** Names that paths without braces may begin with. */
  known: ReadonlySet<string>
  faults: Faults
}

/**
 * `tool` as one mapping, or as a list of `{name, kind, …}` or `{label: {kind, …}}`; `ahead` and `aside` are tools
 * that run before and after it for their effect. A tool's own `sink` is a task behind it.
 */
export function readTasks(
  written: { tool: Json | undefined; ahead: Json | undefined; aside: Json | undefined },
  path: Path,
  about: TasksAbout,
): { tasks: Task[]; pipeline: boolean } {
  const { tool, ahead, aside } = written
  const place = [...path, 'tool']
  const pipeline = Array.isArray(tool)
  const main = listOf(tool).flatMap((item, i) => {
    const at = pipeline ? [...place, i] : place
    const task = readTask(pipeline ? unwrapLabel(item) : { value: item }, i, at, about)
    if (task === undefined) return []
    if (!pipeline && NAMED_THEMSELVES.includes(task.kind) && isObject(item) && item.name !== undefined) {
      task.config.name = item.name
      task.label = 'task_0'
    }
    return [task, ...sinksOf(item, task, at, about)]
  })
  const beside = (key: 'ahead' | 'aside', value: Json | undefined) =>
    listOf(value).flatMap((item, i) => {
      const task = readTask({ value: item }, i, [...path, key, i], about)
      return task === undefined ? [] : [{ ...task, aside: true as const }]
    })
  const tasks = [...beside('ahead', ahead), ...main, ...beside('aside', aside)]
  nameSinks(tasks)
  if (pipeline || tasks.length > 1) refuseTwins(tasks, place, about.faults)
  return { tasks, pipeline }
}

function listOf(value: Json | undefined): Json[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

function sinksOf(item: Json, task: Task, path: Path, about: TasksAbout): Task[] {
  const written = isObject(item) ? item.sink : undefined
  return listOf(written).flatMap((sink) => {
    const found = readSink(sink, [...path, 'sink'], undefined, { ...about, result: nameOf(task) })
    return found === undefined ? [] : [{ ...found, label: '' }]
  })
}

/** Sinks have names that nothing else has. */
function nameSinks(tasks: Task[]): void {
  const taken = new Set(tasks.map(({ label }) => label))
  for (const task of tasks) {
    for (let n = 0; task.label === ''; n++) if (!taken.has(`sink_${n}`)) task.label = `sink_${n}`
    taken.add(task.label)
  }
}

/** `{fetch: {kind: http}}` is `{name: fetch, kind: http}`. */
function unwrapLabel(item: Json): { value: Json; label?: string } {
  if (!isObject(item) || 'kind' in item) return { value: item }
  const [entry, second] = Object.entries(item)
  return entry !== undefined && second === undefined && isObject(entry[1]) && 'kind' in entry[1]
    ? { value: entry[1], label: entry[0] }
    : { value: item }
}

function readTask(
  { value, label }: { value: Json; label?: string },
  index: number,
  path: Path,
  about: TasksAbout,
): Task | undefined {
  const { step, toolKinds, workbook, faults } = about
  if (!isObject(value)) {
    faults.fault(path, `the tool of step "${step}" must be a mapping with "kind", or a list of them`)
    return undefined
  }
  const kind = text(value.kind, [...path, 'kind'], faults)
  if (kind === undefined) {
    if (value.kind === undefined || value.kind === null)
      faults.fault(path, `the tool of step "${step}" has no "kind"`)
    return undefined
  }
  if (kind === 'workbook') {
    const found = fromWorkbook(value, path, { step, workbook, faults, given: about.given ?? {} })
    const own = label ?? text(value.name, [...path, 'name'], faults) ?? `task_${index}`
    return found === undefined ? undefined : readTask({ value: found, label: own }, index, path, about)
  }
  if (toolKinds !== undefined && !toolKinds.includes(kind)) {
    faults.fault(
      [...path, 'kind'],
      `step "${step}" uses the tool kind "${kind}", which no plugin brings; there are: ${toolKinds.join(', ')}${installHint(kind)}`,
      nearest(kind, toolKinds)[0],
    )
  }
  const spec = mapping(value.spec, [...path, 'spec'], faults)
  const { policy, when, aside, rows = about.dialect === 'seed' && ROWS.includes(kind), ...specFields } = spec
  const policyFields = mapping(policy, [...path, 'spec', 'policy'], faults)
  const config: JsonObject = {}
  for (const [key, field] of Object.entries({ ...specFields, ...value })) {
    // `args` as a list or a text is a field of the tool's own: the words of a command line.
    if (!TASK_KEYS.includes(key) || (key === 'args' && isWords(field))) put(config, key, field)
  }
  if (config.credential !== undefined && config.auth === undefined) {
    config.auth = config.credential
    delete config.credential
  }
  const effect = readEffect(value.effect, [...path, 'effect'], faults)
  const probe =
    value.probe === undefined || value.probe === null
      ? undefined
      : readTask({ value: value.probe, label: 'probe' }, 0, [...path, 'probe'], about)
  return {
    ...(effect === undefined ? {} : { effect }),
    ...(probe === undefined ? {} : { probe }),
    label: label ?? text(value.name, [...path, 'name'], faults) ?? `task_${index}`,
    kind,
    config,
    input: {
      ...(isWords(value.args) ? {} : mapping(value.args ?? specFields.args, [...path, 'args'], faults)),
      ...mapping(value.input ?? specFields.input, [...path, 'input'], faults),
    },
    set: mapping(value.set, [...path, 'set'], faults),
    rules: [
      ...readRules(policyFields.rules, [...path, 'spec', 'policy', 'rules'], faults),
      ...readRetryBlock(value.retry, [...path, 'retry'], faults),
    ],
    ...(when === undefined ? {} : { when }),
    ...(aside === true ? { aside } : {}),
    ...(rows === true ? { rows } : {}),
  }
}

function isWords(value: Json | undefined): boolean {
  return typeof value === 'string' || Array.isArray(value)
}

/** What repeating the tool does, where the step knows better than the plugin. */
function readEffect(value: Json | undefined, path: Path, faults: Faults): Effect | undefined {
  if (value === undefined || value === null) return undefined
  const effect = EFFECTS.find((known) => known === value)
  if (effect === undefined) {
    faults.fault(
      path,
      `effect is ${JSON.stringify(value)}; ${EFFECTS.join(', ')} were expected`,
      nearest(wordOf(value), EFFECTS)[0],
    )
  }
  return effect
}

function refuseTwins(tasks: Task[], path: Path, faults: Faults): void {
  const labels = new Set<string>()
  for (const [i, { label, rules }] of tasks.entries()) {
    if (labels.has(label))
      faults.fault([...path, i, 'name'], `there are two tools named "${label}" in this list`)
    labels.add(label)
    for (const rule of rules) {
      if (rule.to === undefined || rule.to === 'previous' || rule.to === '@previous') continue
      if (!tasks.some((task) => task.label === rule.to)) {
        faults.fault(
          [...path, i],
          `"jump to: ${rule.to}" names no tool of this list`,
          nearest(
            rule.to,
            tasks.map((task) => task.label),
          )[0],
        )
      }
    }
  }
}
