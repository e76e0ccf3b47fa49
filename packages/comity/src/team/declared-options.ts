import type { Duration, Frequency } from '../foundation/index.ts'
import type { Decision } from '../subscription/failure.ts'
import type { Where } from './where.ts'

export interface OwnsOptions {
  /** An existing table; every committed change of it is announced. Without it the entity is published by code. */
  readonly table?: string
  /** Field → column, or `{ sql }` over one row of the table, where the names differ. */
  readonly columns?: Readonly<Record<string, string | { readonly sql: string }>>
}
/** How much of a subscription is taken at once, and how fast. */
export interface FlowOptions {
  /** Most messages delivered and not ended, in one process. Default 1000 for a handler, 8000 for a copy. */
  readonly prefetch?: number
  /** Most bytes of them. Default 64 MiB. */
  readonly prefetchBytes?: number
  /** Most messages of all processes together, e.g. `'50/s'`: for what a handler calls. Default: no limit. */
  readonly rate?: Frequency
}
export interface KeepsOptions<Field extends string, State = unknown> extends FlowOptions {
  /** The fields to keep, beside key and tenant. */
  readonly fields: readonly Field[]
  /** The copy's table, `schema.table` or `table` (in `public`). Default: the entity's name in snake_case. */
  readonly table?: string
  /** Field → column, where another name than the snake_case one is wanted. */
  readonly columns?: Readonly<Record<string, string>>
  /** Keep only rows of which this holds, by any published field, kept or not: rows come and go as it begins and ceases to hold. Default: all. */
  readonly where?: Where<State>
  /** The subscription's own name after the team's. Default: the entity's name. */
  readonly name?: string
  readonly audience?: string
  /** How far behind its owner the copy may be: an objective, for status, metrics and alerts. */
  readonly freshness?: Duration
}
export interface OnOptions<Field extends string = string> extends FlowOptions {
  /**
   * The fields that the handler reads, beside key and tenant: it is given these and no others, and only these are held against the contract. So the
   * owner knows that it may change all others. Default: all.
   */
  readonly fields?: readonly Field[]
  /** The subscription's own name after the team's. Default: the contract's name. */
  readonly name?: string
  readonly audience?: string
  /** Messages in one transaction, at most. Default 50. */
  readonly batch?: number
  /** For one message. Default '10s'. With a database of your own library, give the adapter a `sessionTimeout` above it. */
  readonly timeout?: Duration
  /** Tries in place before the message waits in its key's line. Default 5. */
  readonly attempts?: number
  /** Bounds of the wait between two tries: it doubles, with full jitter. Default `{ min: '200ms', max: '8s' }`. */
  readonly backoff?: { readonly min: Duration; readonly max: Duration }
  /**
   * What an error means: `permanent` = park at once, `not-yet` = wait and try again without end, `transient` = try again, then park.
   * undefined leaves it to the rules: PermanentError, NotYetError, anything else is transient.
   */
  readonly decide?: (error: unknown, attempt: number) => Decision
  /** When too much fails, the subscription pauses and tries by itself. Default: more than 20 % of at least 100 messages in 30 s. */
  readonly breaker?: false | { readonly share?: number; readonly atLeast?: number; readonly window?: Duration }
  /** Its transactions at once in one process. Default: the team's `concurrency`, less one while there are other subscriptions. */
  readonly concurrency?: number
  /** Most messages of one tenant; the others of it wait in the lines of their keys. Default: no limit. */
  readonly tenantRate?: Frequency
}

/** Requests are decided one by one, under the name that their askers know: the rest is as for every handler. */
export type AnswersOptions = Omit<OnOptions, 'name' | 'fields' | 'audience' | 'batch'>

/** How outcomes are handled. */
export type AsksOptions = Pick<OnOptions, 'timeout'>

export interface RelationOptions {
  /** Teams that this one operates: it hears their heartbeats and declarations, and may command them where they name it in `operators`. */
  readonly operates?: readonly string[]
  /** Teams whose commands this one obeys. Default: none. */
  readonly operators?: readonly string[]
}

export interface AboutOptions {
  /** Of the team's own software, e.g. what its pipeline built: shown to every other team in the catalog. */
  readonly version?: string
  /** Whom to ask about the team: a channel, a page, an address of the team's. Every other team can read it. */
  readonly contact?: string
}
