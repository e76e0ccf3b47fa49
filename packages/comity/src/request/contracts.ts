import type { JsonSchema } from '@comity/contract'
import type { CopyingContract } from '../control/copying-channel.ts'

/** How a request ends, by its owner's decision alone. */
export type OutcomeState = 'accepted' | 'rejected' | 'expired' | 'withdrawn'

/** What an owner says to whoever asked; `id` is the request's. */
export interface OutcomeSaid {
  readonly v: number
  readonly id: string
  /** The contract's name. */
  readonly request: string
  readonly entity: string
  readonly key: string
  readonly outcome: OutcomeState
  readonly reason?: string
  readonly detail?: unknown
  /** Of an accepted one: the version of the entity's key that has the change; absent where nothing was announced with it. */
  readonly version?: number
  /** By the owner's clock; RFC 3339. */
  readonly decidedAt: string
}

export const OUTCOME_VERSION = 1

/**
 * What travels beside a request's data, as extensions of CloudEvents: `comityrequest` is its id, `comitydeadline` when it expires (RFC 3339, UTC),
 * `comityexpect` the digest of what is expected, or "none" where no such state is, `comityfields` what it was made of (`email=text,name=text`);
 * `comityask` is "withdraw" where the request of that id is to be ended.
 */
export const EXTENSIONS = {
  id: 'comityrequest',
  deadline: 'comitydeadline',
  expect: 'comityexpect',
  fields: 'comityfields',
  ask: 'comityask',
} as const

const text = { type: 'string', minLength: 1, maxLength: 1000 } as const
const properties: Readonly<Record<string, JsonSchema>> = {
  v: { type: 'integer', minimum: 1 },
  id: { type: 'string', pattern: '^[A-Za-z0-9._:-]{1,64}$' },
  request: text,
  entity: text,
  key: text,
  outcome: { enum: ['accepted', 'rejected', 'expired', 'withdrawn'] },
  reason: text,
  detail: {},
  version: { type: 'integer', minimum: 1 },
  decidedAt: { type: 'string', format: 'date-time' },
}

export const OUTCOME: CopyingContract = {
  type: 'comity.outcome',
  schema: { type: 'object', properties, required: ['v', 'id', 'request', 'entity', 'key', 'outcome', 'decidedAt'] },
}
