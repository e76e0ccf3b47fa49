import { createHash } from 'node:crypto'
import { ComityError } from '@comity/contract'
import { classifyError, describeError as describeSqlError, sqlStateOf } from '../postgres/classify-error.ts'
import {
  ForgedMessage,
  HandlerLostConnection,
  InvalidMessage,
  LaneTaken,
  LiftedInvalid,
  LiftFailed,
  NotYetError,
  PausedMeanwhile,
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

/** What a subscription may say of an error of its handler; undefined leaves it to the rules above. */
export type Decision = 'transient' | 'permanent' | 'not-yet' | undefined
export type Decide = (error: unknown, attempt: number) => Decision

const PERMANENT = [PermanentError, UnreadableMessage, ForgedMessage, InvalidMessage, LiftFailed, LiftedInvalid, TooOldToProve]

/** It does not fit the contract, or the owner, that this process knows: another version of the code, or what it hears later, may make it readable. */
export function isUnfit(error: unknown): boolean {
  return [InvalidMessage, LiftFailed, LiftedInvalid, ForgedMessage].some((type) => error instanceof type)
}

/** The same, of a line's head; as the index of migration 0022 has it. */
export const UNFIT = "error_code in ('COMITY_INVALID_MESSAGE', 'COMITY_LIFT_FAILED', 'COMITY_LIFTED_INVALID', 'COMITY_FORGED_MESSAGE')"

/** So often a message may find others in the way before that counts as its own failure. */
export const CONTENDED = 50

export function failureOf(error: unknown, decide?: Decide, attempt = 1): Failure {
  const meaning = error instanceof HandlerLostConnection ? undefined : classifyError(error)
  if (meaning === 'connection') return 'outage'
  if (error instanceof PausedMeanwhile || error instanceof LaneTaken) return 'contended'
  const decided = decide?.(error instanceof HandlerLostConnection ? error.cause : error, attempt)
  if (decided !== undefined) return decided
  if (PERMANENT.some((type) => error instanceof type)) return 'permanent'
  if (error instanceof NotYetError) return 'not-yet'
  return meaning === 'retryable' ? 'contended' : 'transient'
}

/** What is kept of an error beside a waiting message. Never values: Postgres' DETAIL stays out. */
export interface FailureRecord {
  /** Of its class. */
  readonly name: string
  readonly code: string
  /** One line. */
  readonly message: string
  /** The first frame of the stack that is the user's: `function (folder/file.ts)`, without a line, which every deploy moves. */
  readonly frame: string
  /** Equal for what fails alike: a hash of name, code and frame. */
  readonly fingerprint: string
}

export function recordOf(error: unknown): FailureRecord {
  const code = error instanceof ComityError ? error.code : (sqlStateOf(error) ?? codeOf(error) ?? '')
  const name = (error as Error | undefined)?.name || (error as object | undefined)?.constructor?.name || 'Error'
  const frame = ownFrame(error)
  const message = (describeSqlError(error).split('\n')[0] as string).slice(0, 500)
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([name, code, frame]))
    .digest('hex')
    .slice(0, 12)
  return { name, code: code === '' ? name : code, message, frame, fingerprint }
}

/** For a line of the log. */
export function describeError(error: unknown): Pick<FailureRecord, 'code' | 'message'> {
  const { code, message } = recordOf(error)
  return { code, message }
}

/** As Node's own errors, and those of many libraries, have it. */
function codeOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' && /^[\w.-]{1,64}$/.test(code) ? code : undefined
}

function ownFrame(error: unknown): string {
  const { stack } = (error ?? {}) as { readonly stack?: unknown }
  if (typeof stack !== 'string') return ''
  for (const line of stack.split('\n')) {
    const match = /^\s+at (?:async )?(?:(.+?) \()?(?:file:\/\/)?([^()]+?)(?::\d+){0,2}\)?$/.exec(line)
    const file = match?.[2]
    if (file === undefined || /^node:|[/\\]node_modules[/\\]|^<anonymous>$|[/\\]packages[/\\]comity[/\\](src|dist)[/\\]/.test(file))
      continue
    return `${match?.[1] ?? 'anonymous'} (${file.split(/[/\\]/).slice(-2).join('/')})`
  }
  return ''
}
