import type { Clock, Logger, Service } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { RelayProgress } from '../relay/relay.ts'
import type { DeliveryHandler, Transport } from '../transport/transport.ts'
import { announcer } from './announcer.ts'
import { catalogHeard } from './catalog-heard.ts'
import { catalogSubscription } from './catalog-topic.ts'
import { type CommandInboxOptions, commandInbox } from './command-inbox.ts'
import type { CatalogContract, DeclarationReport } from './contracts.ts'
import { answersHeard, declarationsHeard, heartbeatsHeard } from './heard.ts'
import { processBeat } from './process-beat.ts'
import { ProgressTracker, type WatchedSubscription } from './progress-tracker.ts'
import { systemReceiver } from './system-receiver.ts'
import { type Relations, type SystemSubscription, systemSubscriptions } from './system-topics.ts'

export interface ControlOptions extends Relations {
  readonly holder: string
  readonly database: Queryable
  readonly transport: Transport
  /** As the broker names a topic or subscription: with the namespace. */
  readonly brokerName: (name: string) => string
  readonly mayAnnounce: () => boolean
  readonly cleared: (signal: AbortSignal) => Promise<AbortSignal>
  readonly declared: Omit<DeclarationReport, 'v' | 'library'>
  /** The contracts that are this team's own. */
  readonly contracts: readonly Omit<CatalogContract, 'v' | 'team'>[]
  readonly subscriptions: readonly WatchedSubscription[]
  readonly relay: (() => RelayProgress) | undefined
  /** Whether this process reads what other teams say and command. */
  readonly receives: boolean
  readonly execute: CommandInboxOptions['execute']
  readonly clock?: Clock
  readonly logger?: Logger
}

/** Everything of control that runs in one process, in the order in which it starts; it stops in any order. */
export function control(options: ControlOptions): readonly Service[] {
  const { team, operators, holder, database, transport, brokerName, mayAnnounce, cleared, declared, contracts, execute } = options
  const common = { ...(options.clock ? { clock: options.clock } : {}), ...(options.logger ? { logger: options.logger } : {}) }
  const announcing = announcer({
    team,
    holder,
    database,
    transport,
    topicNamed: brokerName,
    mayAnnounce,
    cleared,
    declared,
    contracts,
    ...common,
  })
  const tracker = new ProgressTracker(options)
  const beating = processBeat({ holder, database, tracker, onStatus: () => announcing.wake(), ...common })

  const handlerOf = ({ sender, kind }: SystemSubscription): DeliveryHandler => {
    if (kind === 'heartbeat') return heartbeatsHeard({ team, sender, database, ...common })
    if (kind === 'declaration') return declarationsHeard({ team, sender, database, ...common })
    if (kind === 'answer') return answersHeard({ team, sender, database, ...common })
    return commandInbox({ team, operator: sender, operators, execute, transport, topicNamed: brokerName, ...common })
  }
  const receiving = (options.receives ? systemSubscriptions(options) : []).map((subscription) =>
    systemReceiver({ subscription: brokerName(subscription.name), transport, cleared, handler: handlerOf(subscription), ...common }),
  )
  const mapping = options.receives
    ? [
        systemReceiver({
          subscription: brokerName(catalogSubscription(team)),
          transport,
          cleared,
          handler: catalogHeard({ database, onDeclared: () => announcing.wake(), ...common }),
          ...common,
        }),
      ]
    : []
  return [beating, announcing, ...receiving, ...mapping]
}
