import type { ContractDescription } from '@comity/contract'
import { type CopyingHandler, copyingHeard } from '../control/copying-channel.ts'
import { type ErasureDeclaration, erasureSubscriptions } from '../control/erasure-topics.ts'
import { systemReceiver } from '../control/system-receiver.ts'
import type { Clock, Logger, Loop, Service } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Relay } from '../relay/relay.ts'
import type { Permit } from '../subscription/permits.ts'
import type { Transport } from '../transport/index.ts'
import { announcing } from './announcing.ts'
import { erasuresHeard } from './erasures-heard.ts'
import { type HoldingDeclaration, holdings } from './holdings.ts'
import { lostHeard } from './lost-heard.ts'
import { holdingsHeard, receiptsHeard } from './receipts-heard.ts'
import { tellingLost } from './telling-lost.ts'

export interface ErasuresOptions {
  readonly declaration: Pick<ErasureDeclaration, 'owns' | 'publishes'> & HoldingDeclaration
  readonly database: Database
  readonly transport: Transport
  readonly brokerName: (name: string) => string
  /** Undefined in a process that does not relay: there the owner's side is not done. */
  readonly relay: Relay | undefined
  /** Whether this process reads what other teams say. */
  readonly receives: boolean
  readonly permit: Permit
  readonly mayRun: () => boolean
  readonly cleared: (signal: AbortSignal) => Promise<AbortSignal>
  readonly clock?: Clock
  readonly logger?: Logger
}

/** What a team does in one process about what is no longer to be kept, because it was erased, or its history lost: as an owner where it relays, as a holder where it runs subscriptions. */
export function erasures(options: ErasuresOptions): { readonly loops: readonly Loop[]; readonly services: readonly Service[] } {
  const { declaration, database, transport, brokerName, relay, receives, permit, mayRun, cleared } = options
  const common = { ...(options.clock ? { clock: options.clock } : {}), ...(options.logger ? { logger: options.logger } : {}) }
  const speaker = { team: declaration.team, transport, topicNamed: brokerName }
  const contracts: readonly ContractDescription[] = [
    ...declaration.keeps.map(({ entity }) => entity),
    ...declaration.handles.map(({ contract }) => contract),
  ]
  const services: Service[] = []
  const loops: Loop[] = []
  for (const { name, owner } of erasureSubscriptions(declaration)) {
    if (owner === undefined ? relay === undefined : !receives) continue
    const isTheirs = (topic: string): boolean =>
      (contracts.find(({ name: one }) => one === topic)?.owner ?? topic.split('.', 1)[0]) === owner
    const handlers =
      owner === undefined
        ? [receiptsHeard(database) as CopyingHandler<never>, holdingsHeard(database) as CopyingHandler<never>]
        : [
            erasuresHeard({ owner, isTheirs, database, speaker, permit, ...common }) as CopyingHandler<never>,
            lostHeard({ owner, isTheirs, database, permit, ...common }) as CopyingHandler<never>,
          ]
    services.push(
      systemReceiver({
        ...{ subscription: brokerName(name), transport, cleared, ...common },
        handler: copyingHeard({ sender: owner, handlers, ...common }),
      }),
    )
    if (owner !== undefined || relay === undefined) continue
    loops.push(tellingLost({ database, speaker, leads: () => mayRun() && relay.progress.leading, ...common }))
    loops.push(announcing({ database, speaker, progress: () => relay.progress, settleSoon: () => relay.settleSoon(), mayRun, ...common }))
  }
  if (receives && erasureSubscriptions(declaration).some(({ owner }) => owner !== undefined))
    loops.push(holdings({ declaration, database, speaker, mayRun, ...common }))
  return { loops, services }
}
