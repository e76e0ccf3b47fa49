import type { Queryable } from '../postgres/database.ts'
import type { Message, Outcome } from './message.ts'

/**
 * What a subscription does with its messages: a handler, or a replica. Runs inside the lane's transaction, under the
 * lane's lock; throwing rolls everything back. More than one message is an attempt to be fast: if it throws, the
 * same messages come again one by one.
 */
export interface Consumer<Tx> {
  readonly kind: 'handler' | 'replica'
  /** Most messages in one transaction. */
  readonly batch: number
  consume(batch: Batch<Tx>): Promise<readonly Outcome[]>
  /** Ids of those messages whose effect has happened already: come again, they do not join a line. Absent: repetitions do no harm. */
  done?(batch: Pick<Batch<Tx>, 'messages' | 'subscription' | 'generation' | 'sql'>): Promise<ReadonlySet<string>>
  /** What has been under way for a second or more. */
  running?(): readonly Running[]
}

/** A handler under way. */
export interface Running {
  readonly message: string
  readonly key: string
  readonly since: Date
  readonly attempt: number
  /** What it has reported. */
  readonly done?: number
  readonly total?: number
}

export interface Batch<Tx> {
  /** In order of delivery. None of their keys waits. */
  readonly messages: readonly Message[]
  readonly subscription: string
  readonly generation: number
  /** Messages of this generation from before this time are repetitions that somebody asked for. */
  readonly replayedUntil?: string | undefined
  /** Failed attempts of the first message before this one. */
  readonly attempt: number
  /** The transaction as the user's library sees it, and as our SQL does. */
  readonly tx: Tx
  readonly sql: Queryable
  /** Aborts when the subscription stops waiting for this batch. */
  readonly signal: AbortSignal
  /** Throws where a message may not begin any more: its tenant was paused meanwhile. Absent: all may. */
  readonly mayBegin?: (message: Message) => void
}
