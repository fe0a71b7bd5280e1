import { Args, Errors, Flags } from '@oclif/core'
import { requestFlags } from './base-command.ts'

/** What `dead-letter retry` and `drop` share: which letters are meant. */
export const choiceArgs = { id: Args.string({ description: 'a letter; others are chosen by flags' }) }
export const choiceFlags = {
  ...requestFlags,
  fingerprint: Flags.string({ description: 'all open ones of this cause' }),
  path: Flags.string({ description: 'all open ones of this playbook' }),
  all: Flags.boolean({ description: 'all open ones' }),
  rate: Flags.integer({ description: 'letters a second, at most', min: 1 }),
}

export function choiceBody(
  id: string | undefined,
  flags: {
    fingerprint?: string | undefined
    path?: string | undefined
    all?: boolean
    rate?: number | undefined
  },
): object {
  const { fingerprint, path, all, rate } = flags
  if (id === undefined && fingerprint === undefined && path === undefined && !all) {
    throw new Errors.CLIError('name a letter, or choose with --fingerprint, --path or --all', { exit: 2 })
  }
  return {
    ...(id === undefined ? {} : { ids: [id] }),
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(path === undefined ? {} : { path }),
    ...(all ? { all } : {}),
    ...(rate === undefined ? {} : { rate }),
  }
}
