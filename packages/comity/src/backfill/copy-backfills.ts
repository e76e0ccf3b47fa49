import type { ContractDescription } from '@comity/contract'
import { type CopyingHandler, copyingHeard } from '../control/copying-channel.ts'
import { type CopyingDeclaration, copyingSubscriptions } from '../control/copying-topics.ts'
import { systemReceiver } from '../control/system-receiver.ts'
import type { Clock, Logger, Loop, Service } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Permit } from '../subscription/permits.ts'
import type { Transport } from '../transport/index.ts'
import { asking } from './asking.ts'
import { chunkApplier } from './chunk-applier.ts'
import type { CopyReader } from './copy-reader.ts'
import { stateHeard } from './state-heard.ts'

/** What is needed to fill one copy. */
export interface CopyFiller {
  readonly name: string
  readonly entity: ContractDescription
  readonly audience?: string
  readonly reads: CopyReader
  readonly onApplied: (keys: readonly string[]) => void
}

export interface CopyBackfillsOptions {
  readonly declaration: CopyingDeclaration
  readonly database: Database
  readonly transport: Transport
  readonly brokerName: (name: string) => string
  readonly fillers: readonly CopyFiller[]
  readonly permit: Permit
  readonly mayRun: () => boolean
  readonly cleared: (signal: AbortSignal) => Promise<AbortSignal>
  /** See {@link asking}. */
  readonly confirmed?: (backfill: string) => Promise<boolean>
  /** What else an owner says to a copy, on the same topics. */
  readonly heard?: readonly CopyingHandler<never>[]
  readonly clock?: Clock
  readonly logger?: Logger
}

/** What a team does so that its copies are filled, in a process that runs its subscriptions. */
export function copyBackfills(options: CopyBackfillsOptions): { readonly loops: readonly Loop[]; readonly services: readonly Service[] } {
  const { declaration, database, transport, brokerName, fillers, permit, mayRun, cleared } = options
  if (fillers.length === 0) return { loops: [], services: [] }
  const common = { ...(options.clock ? { clock: options.clock } : {}), ...(options.logger ? { logger: options.logger } : {}) }
  const { team } = declaration
  const speaker = { team, transport, topicNamed: brokerName }
  const asks = asking({
    team,
    database,
    speaker,
    copies: fillers,
    mayRun,
    permit,
    ...(options.confirmed ? { confirmed: options.confirmed } : {}),
    ...common,
  })
  const subscriptions = new Map(copyingSubscriptions({ ...declaration, owns: [] }).map((each) => [each.replica, each]))
  const receivers = fillers.flatMap(({ name, entity, reads, onApplied }) => {
    const subscription = subscriptions.get(name)
    if (subscription === undefined) return []
    const applier = chunkApplier({ replica: name, entity, reads, database, permit, onApplied })
    const states = stateHeard({ replica: name, database, onHeard: () => asks.wake() })
    return systemReceiver({
      ...{ subscription: brokerName(subscription.name), transport, cleared, ...common },
      handler: copyingHeard({
        sender: subscription.sender,
        handlers: [applier as never, states as never, ...(options.heard ?? [])],
        ...common,
      }),
    })
  })
  return { loops: [asks], services: receivers }
}
