import { type CopyingHandler, copyingHeard } from '../control/copying-channel.ts'
import type { CopyingDeclaration } from '../control/copying-topics.ts'
import { copyingSubscriptions } from '../control/copying-topics.ts'
import { systemReceiver } from '../control/system-receiver.ts'
import type { Clock, Logger, Loop, Service } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Relay } from '../relay/relay.ts'
import type { Fence, Transport } from '../transport/index.ts'
import { askedInbox } from './asked-inbox.ts'
import { type BackfillWorkerOptions, backfillWorker } from './backfill-worker.ts'
import { marking } from './marking.ts'

export interface OwnerBackfillsOptions extends Pick<BackfillWorkerOptions, 'rate' | 'latency' | 'batch' | 'lease'> {
  readonly declaration: CopyingDeclaration
  readonly holder: string
  readonly database: Database
  readonly transport: Transport
  readonly brokerName: (name: string) => string
  readonly relay: Relay
  readonly fence: () => Fence | undefined
  readonly mayRun: () => boolean
  readonly cleared: (signal: AbortSignal) => Promise<AbortSignal>
  /** What else is asked of an owner, on the same topic. */
  readonly heard?: readonly CopyingHandler<never>[]
  readonly clock?: Clock
  readonly logger?: Logger
}

/** What an owner does for copies of other teams, in a process that relays. Where it owns nothing, it may have owned something. */
export function ownerBackfills(options: OwnerBackfillsOptions): { readonly loops: readonly Loop[]; readonly services: readonly Service[] } {
  const { declaration, holder, database, transport, brokerName, relay, fence, mayRun, cleared } = options
  const { team } = declaration
  const [asked] = copyingSubscriptions({ ...declaration, keeps: [] })
  const common = { ...(options.clock ? { clock: options.clock } : {}), ...(options.logger ? { logger: options.logger } : {}) }
  const speaker = { team, transport, topicNamed: brokerName }
  const marks = marking({
    ...{ team, database, transport, topicNamed: brokerName, fence, ...common },
    progress: () => relay.progress,
    settleSoon: () => relay.settleSoon(),
    isRarelyNeeded: asked === undefined,
  })
  if (asked === undefined) return { loops: [marks], services: [] }
  const worker = backfillWorker({ ...options, team, database, speaker, holder, mayRun, onSent: () => marks.wake(), ...common })
  const inbox = askedInbox({ database, speaker, onAsked: () => worker.wake(), ...common })
  const receiver = systemReceiver({
    ...{ subscription: brokerName(asked.name), transport, cleared, ...common },
    handler: copyingHeard({ sender: undefined, handlers: [inbox as never, ...(options.heard ?? [])], ...common }),
  })
  // The worker may wait for a transaction of the owner's as long as that takes: no probe takes it for stuck.
  return { loops: [marks], services: [worker, receiver] }
}
