import type { ContractDescription } from '@comity/contract'
import type { Clock, Logger } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Transport } from '../transport/transport.ts'
import type { BreakerPolicy } from './breaker.ts'
import type { Consumer } from './consumer.ts'
import type { Wanted } from './errors.ts'
import type { Permit } from './permits.ts'
import type { RetryPolicy } from './retry-policy.ts'

export interface SubscriptionOptions<Tx> {
  /** `<team>.<name>`, as in the database. */
  readonly name: string
  /** The broker's name for it; differs where a namespace prefixes it. */
  readonly brokerName?: string
  readonly contract: ContractDescription
  readonly database: Database<Tx>
  readonly transport: Transport
  readonly consumer: Consumer<Tx>
  /** When a transaction may begin. Default: at once. */
  readonly permit?: Permit
  /** Waits until this process may receive; the signal that it answers aborts when it no longer may. */
  readonly cleared?: (signal: AbortSignal) => Promise<AbortSignal>
  readonly retry?: RetryPolicy
  /** Absent: it never opens. */
  readonly breaker?: BreakerPolicy | undefined
  /** Most messages delivered and not ended. Default: 1000 for a handler, 8000 for a replica. */
  readonly prefetch?: number | undefined
  /** Most bytes of them. Default: the transport's. */
  readonly prefetchBytes?: number | undefined
  /** Messages a second, over all processes. Default: no limit. */
  readonly rate?: number | undefined
  /** Of one tenant. Default: no limit. */
  readonly tenantRate?: number | undefined
  /** Whether a copy of this team has what a message waits for; undefined where it has no such copy. */
  readonly arrived?: (wanted: Required<Wanted>) => Promise<boolean | undefined>
  readonly clock?: Clock
  readonly logger?: Logger
}
