import type { RejectsOf, Request } from '@comity/contract'
import type { OutcomeState } from './contracts.ts'

/** A request as whoever asked holds it: a value of no more than its id, so that another process can go on with it. */
export interface Asked<R extends Request = Request> {
  readonly id: string
  /** The contract's name. */
  readonly request: string
  /**
   * What the owner has decided; resolves when this team has heard it, in whichever process. Ask after the transaction has committed: before,
   * there is no request. Without a `timeout` (milliseconds) it waits as long as it takes; with one it throws COMITY_OUTCOME_OVERDUE.
   */
  outcome(options?: { readonly timeout?: number; readonly signal?: AbortSignal }): Promise<Outcome<R>>
  /** How it stands now. Throws COMITY_NO_SUCH_REQUEST. */
  state(): Promise<AskedState>
}

/** The life of a request as the asker sees it; `visible`: accepted, and this team's copy has what was accepted. */
export type AskedState = 'requested' | OutcomeState | 'visible'

export type Outcome<R extends Request = Request> = Accepted | Rejected<R> | Ended

export interface Accepted {
  readonly state: 'accepted'
  /** By the owner's clock. */
  readonly decidedAt: Date
  /** Of the entity's key: what has the change; undefined where the owner announced nothing of the key with it. */
  readonly version: number | undefined
  /**
   * Resolves when this team's copy of the entity has it; rejects with COMITY_WAIT_TIMED_OUT (default 10 s), or COMITY_NOT_A_REPLICA
   * where the team keeps no copy.
   */
  visible(options?: { readonly timeout?: number; readonly signal?: AbortSignal }): Promise<void>
}

/**
 * Rejected for one of the contract's reasons; or by the engine: `conflict` (what was expected is no longer so; `detail` has those fields as they are,
 * null where there is no such state) and `discarded` (an operator of the owner has ended it).
 */
export type Rejected<R extends Request = Request> = {
  readonly state: 'rejected'
  readonly decidedAt: Date
} & (
  | Reasoned<RejectsOf<R>>
  | { readonly reason: 'conflict'; readonly detail: Readonly<Record<string, unknown>> | null }
  | { readonly reason: 'discarded'; readonly detail: null }
)
type Reasoned<Rejects> = {
  [Reason in keyof Rejects & string]: { readonly reason: Reason; readonly detail: Rejects[Reason] }
}[keyof Rejects & string]

/** Nothing was done: its deadline had passed by the owner's clock, or it was withdrawn before it was decided. */
export interface Ended {
  readonly state: 'expired' | 'withdrawn'
  readonly decidedAt: Date
}
