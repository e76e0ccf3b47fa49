import type { Comparison } from './compare.ts'

/** What `--json` prints. Times in the unit of their name, rates per second. */
export interface Figures {
  readonly story: 'agency'
  /** Every comparison and every check held. */
  readonly ok: boolean
  readonly seconds: number
  /** Before the story: what npm took, if it had to install. */
  readonly installSeconds: number
  readonly postgres: string
  /** In CRM at the end. */
  readonly customers: number
  /** Plain SQL in CRM: committed transactions, the rows they changed (the import's too), and transactions rolled back. */
  readonly changes: { readonly transactions: number; readonly rows: number; readonly rolledBack: number }
  readonly events: { readonly campaignLaunched: number; readonly emailSent: number; readonly emailDelivered: number }
  readonly rates: { readonly importedRows: number; readonly emailsSent: number }
  /** From the COMMIT in CRM until the row can be read in Marketing's copy. */
  readonly lagMs: { readonly p50: number; readonly p99: number; readonly samples: number }
  /** Marketing's kill -9: what it missed, and how long it took from its start to everything that it had missed. */
  readonly killed: { readonly emailsBefore: number; readonly missedRows: number; readonly catchUpSeconds: number }
  /** The bad message: keys and messages that waited, and the emails of other customers that went through meanwhile. */
  readonly parked: { readonly keys: number; readonly messages: number; readonly othersMeanwhile: number }
  /** Billing, which joined while the others wrote: rows of its backfill, and seconds from an empty database to a complete copy. */
  readonly joined: Joined
  readonly audited: Audited
  /** Rows outside of CRM with a phone number, and sessions of a team as superuser: both must be 0. */
  readonly phoneNumbersOutside: number
  readonly superuserSessions: number
  /** Each event as announced by Marketing's outbox and as counted in the tables of those who handle it. */
  readonly eventCounts: readonly EventCount[]
  readonly comparisons: readonly Comparison[]
}

export interface Joined {
  readonly rows: number
  readonly seconds: number
}
/** What the audits said of each copy, and of one whose row was corrupted on purpose. */
export interface Audited {
  readonly copies: readonly { readonly replica: string; readonly verdict: string | null; readonly rows: number }[]
  readonly drift: {
    readonly corrupted: string
    readonly found: readonly { readonly key: string; readonly class: string }[]
    readonly repaired: boolean
  }
}

export interface EventCount {
  readonly event: string
  readonly announced: number
  readonly handled: Readonly<Record<string, number>>
}
