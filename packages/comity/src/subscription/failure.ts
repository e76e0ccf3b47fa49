import { ComityError } from '@comity/contract'
import { classifyError, describeError as describeSqlError, sqlStateOf } from '../postgres/classify-error.ts'
import {
  ForgedMessage,
  HandlerLostConnection,
  InvalidMessage,
  NotYetError,
  PermanentError,
  TooOldToProve,
  UnreadableMessage,
} from './errors.ts'

/**
 * What a failure means:
 *   outage     the connection to the database was lost: nobody's attempt
 *   contended  deadlock, serialization, lock: try again; an attempt only if it goes on
 *   permanent  park at once
 *   not-yet    what it needs has not arrived
 *   transient  everything else: retry with jitter, then park
 */
export type Failure = 'outage' | 'contended' | 'permanent' | 'not-yet' | 'transient'

const PERMANENT = [PermanentError, UnreadableMessage, ForgedMessage, InvalidMessage, TooOldToProve]

/** So often a message may find others in the way before that counts as its own failure. */
export const CONTENDED = 50

export function failureOf(error: unknown): Failure {
  if (PERMANENT.some((type) => error instanceof type)) return 'permanent'
  if (error instanceof NotYetError) return 'not-yet'
  if (error instanceof HandlerLostConnection) return 'transient'
  const meaning = classifyError(error)
  if (meaning === 'connection') return 'outage'
  return meaning === 'retryable' ? 'contended' : 'transient'
}

/** What is kept of an error beside a waiting message: a code and one line. Never values: Postgres' DETAIL stays out. */
export function describeError(error: unknown): { readonly code: string; readonly message: string } {
  const code = error instanceof ComityError ? error.code : (sqlStateOf(error) ?? (error as Error | undefined)?.name ?? 'Error')
  return { code, message: (describeSqlError(error).split('\n')[0] as string).slice(0, 500) }
}
