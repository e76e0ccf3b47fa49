import type { Declaration } from '../catalog/declaration.ts'
import { type CopyingHandler, copyingHeard } from '../control/copying-channel.ts'
import { outcomeSubscriptions } from '../control/request-topics.ts'
import { systemReceiver } from '../control/system-receiver.ts'
import type { Clock, Logger, Loop, Service } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Relay } from '../relay/relay.ts'
import type { AppliedKeys } from '../replica/replica.ts'
import type { Transport } from '../transport/index.ts'
import { outcomesHeard } from './outcomes-heard.ts'
import { type Told, telling } from './telling.ts'
import { endingWaiting, requestUpkeep } from './upkeep.ts'

export interface RequestsOptions {
  readonly declaration: Pick<Declaration, 'team' | 'asks' | 'answers' | 'keeps'>
  readonly database: Queryable
  readonly transport: Transport
  readonly brokerName: (name: string) => string
  /** Undefined in a process that does not relay: there the owner's side is not done. */
  readonly relay: Relay | undefined
  /** Whether this process hears outcomes. */
  readonly receives: boolean
  readonly heard: AppliedKeys
  readonly onTold?: (decision: Told) => void
  readonly mayRun: () => boolean
  readonly cleared: (signal: AbortSignal) => Promise<AbortSignal>
  readonly clock?: Clock
  readonly logger?: Logger
}

/** What a team does in one process about requests, beside asking and deciding: as an owner where it relays, as an asker where it runs subscriptions. */
export function requests(options: RequestsOptions): {
  readonly loops: readonly Loop[]
  readonly services: readonly Service[]
  /** Something was decided here: its asker is told at once. */
  readonly tellSoon: () => void
} {
  const { declaration, database, transport, brokerName, relay, receives, heard, mayRun, cleared } = options
  const { team, asks, answers, keeps } = declaration
  const common = { ...(options.clock ? { clock: options.clock } : {}), ...(options.logger ? { logger: options.logger } : {}) }
  const loops: Loop[] = []
  const services: Service[] = []
  const leads = (): boolean => mayRun() && relay?.progress.leading === true
  const tells = answers.length > 0 && relay !== undefined
  const teller = telling({
    database,
    speaker: { team, transport, topicNamed: brokerName },
    leads,
    ...(options.onTold && { onTold: options.onTold }),
    ...common,
  })
  const tellSoon = (): void => {
    if (tells) teller.wake()
  }
  const upkeep = requestUpkeep({ team, keeps, database, mayRun, redeliveryWindow: transport.guarantees.redeliveryWindow, ...common })
  if (tells) loops.push(teller, endingWaiting({ team, database, leads, onDecided: tellSoon, ...common }))
  if (receives && asks.length + answers.length > 0) loops.push(upkeep)
  if (receives)
    for (const { name, owner } of outcomeSubscriptions({ team, asks }))
      services.push(
        systemReceiver({
          ...{ subscription: brokerName(name), transport, cleared, ...common },
          handler: copyingHeard({
            sender: owner,
            handlers: [outcomesHeard({ owner, database, heard, onHeard: () => upkeep.wake() }) as CopyingHandler<never>],
            ...common,
          }),
        }),
      )
  return { loops, services, tellSoon }
}
