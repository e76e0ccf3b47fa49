import type { Decide } from './failure.ts'

export interface RetryPolicy {
  /** Tries in place, before the line; 1 = none but the first. */
  readonly attempts: number
  /** Bounds of the wait between two of them, in milliseconds. */
  readonly wait: { readonly min: number; readonly max: number }
  readonly decide?: Decide | undefined
}

/** Five tries within half a minute, then the line. */
export const RETRY: RetryPolicy = { attempts: 5, wait: { min: 200, max: 8000 } }

/** A key between two attempts. */
export interface Resting {
  readonly key: string
  readonly message: string
  /** Attempts that have failed. */
  readonly attempts: number
  readonly code: string
  /** Of the next attempt. */
  readonly at: Date
  /** Its messages that wait, itself included. */
  readonly messages: number
}
