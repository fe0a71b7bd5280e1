// Plugins with routes describe them by what this adds to schemas of routes.
/// <reference types="@fastify/swagger" preserve="true" />
export { type Facts, listen } from './channels.ts'
export { type Client, makeClient, ServerError } from './client.ts'
export { type Config, readConfig } from './config.ts'
export { ERRORS, type ErrorCode, isNoetlError, makeError, type NoetlError } from './errors.ts'
export { compilePlaybook } from './playbook/compile.ts'
export { type Fault, nearest } from './playbook/faults.ts'
export { playbookSchema } from './playbook/json-schema.ts'
export type * from './schemas/command.ts'
export { ERROR_KINDS } from './schemas/command.ts'
export { isObject, type Json, type JsonObject, parseJson, writeJson } from './schemas/json.ts'
export { Decimal, isNumber, type Numeric, readNumber } from './schemas/numbers.ts'
export type * from './schemas/playbook.ts'
export type { ToolDescription } from './schemas/tool-description.ts'
export {
  type CommandTrace,
  commandTraceparent,
  readTraceparent,
  type Trace,
  traceIdOf,
} from './schemas/trace.ts'
export { type Server, startServer } from './server.ts'
export { setUp } from './setup.ts'
export { checkCoreRange } from './tools/check-plugin.ts'
export type { Credential, Effect, Tool, ToolCall, ToolErrorOptions, ToolLog } from './tools/define.ts'
export { CallAborted, CONTRACT, defineTool, ToolError } from './tools/define.ts'
export { type DescribedTools, describeTools } from './tools/describe.ts'
export { digestOf } from './tools/digest.ts'
export type { Gateway, PoolFigures, ServerGateway, WorkerGateway } from './tools/extend.ts'
export { BUILT_IN_KINDS, discoverPlugins, kindsOf, type PluginManifest, readManifest } from './tools/host.ts'
export type { LanePlan, LaneState, ShareState } from './tools/lanes.ts'
export { folderIn, LOCK_FILE, type LockedPlugin, type PluginLock, readLock } from './tools/lock.ts'
export { loadScript, Script } from './tools/script.ts'
export { startWorker, type Worker } from './worker.ts'
