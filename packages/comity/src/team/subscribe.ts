import type { ContractDescription, Request } from '@comity/contract'
import type { CopyFiller } from '../backfill/copy-backfills.ts'
import { copyReader } from '../backfill/copy-reader.ts'
import { markPassed } from '../backfill/marks-passed.ts'
import { type Declaration, type Flow, fieldsRead, type Handled, inNamespace } from '../catalog/declaration.ts'
import type { Clearance } from '../control/clearance.ts'
import type { Telemetry } from '../foundation/telemetry/index.ts'
import type { AppliedKeys } from '../replica/replica.ts'
import { replicaConsumer } from '../replica/replica-consumer.ts'
import { deciding } from '../request/deciding.ts'
import { partialSchema } from '../schema/index.ts'
import type { Consumer } from '../subscription/consumer.ts'
import type { Wanted } from '../subscription/errors.ts'
import { type HandlerContext, handlerConsumer, type MessageBase } from '../subscription/handler.ts'
import { Permits } from '../subscription/permits.ts'
import { reader } from '../subscription/reading.ts'
import { type Subscription, subscription } from '../subscription/subscription.ts'
import { tracedConsumer, tracedHandler } from '../subscription/traced-consumer.ts'
import { type RelayMark, unmarkedTransport } from '../transport/index.ts'
import type { Settings } from './settings.ts'
import { type VitalSigns, watchedPermit, watchedTransport } from './vital-signs.ts'

/** What the team adds to its subscriptions. */
export interface Subscribing<Tx> {
  readonly declaration: Declaration
  readonly settings: Settings<Tx>
  readonly cleared: Clearance
  readonly signals: Telemetry
  readonly vitalSigns: VitalSigns
  /** Per replica (by subscription name): who waits for keys. */
  readonly applied: ReadonlyMap<string, AppliedKeys>
  /** Something that was asked of this team is decided, and commits next. */
  readonly onDecided: () => void
  readonly contextFor: (base: HandlerContext<Tx>, message: Pick<MessageBase, 'traceparent'>) => unknown
  /** Whether a copy of this team has what a message waits for; undefined where it has no such copy. */
  readonly arrived: (wanted: Required<Wanted>) => Promise<boolean | undefined>
}

export interface Subscribed {
  readonly subscriptions: ReadonlyMap<string, Subscription>
  /** What fills each copy beside its subscription. */
  readonly fillers: readonly CopyFiller[]
  /** Of all transactions that consume in this process. */
  readonly permits: Permits
}

/** Every subscription that this process runs, by its name: each copy and each handler that the team has declared. */
export function subscribe<Tx>(options: Subscribing<Tx>): Subscribed {
  const { declaration, settings, cleared, signals, vitalSigns } = options
  const { team, namespace, database, transport, logger, concurrency } = settings
  const permits = new Permits(concurrency)
  const subscriptions = new Map<string, Subscription>()
  const fillers: CopyFiller[] = []
  if (!settings.subscriptions) return { subscriptions, fillers, permits }

  const add = (
    name: string,
    contract: ContractDescription,
    consumer: Consumer<Tx>,
    flow: Flow,
    handled?: Pick<Handled, 'timeout' | 'batch' | 'breaker' | 'retry'>,
  ): void => {
    const passed = async (mark: RelayMark): Promise<void> => {
      if (mark.handOver !== undefined) await subscriptions.get(name)?.changeHands(mark.handOver)
      if (consumer.kind === 'replica') await markPassed(database, name, mark)
    }
    const signs = vitalSigns.watch(name, handled && handled.timeout * handled.batch)
    const { prefetch, prefetchBytes, rate, tenantRate } = flow
    subscriptions.set(
      name,
      subscription({
        ...{ name, contract, database, consumer, logger, prefetch, prefetchBytes, rate, tenantRate },
        brokerName: inNamespace(namespace, name),
        transport: watchedTransport(signs, unmarkedTransport(transport, passed)),
        permit: watchedPermit(signs, permits.of(name, flow.concurrency)),
        cleared: (signal) => cleared.cleared(signal),
        arrived: options.arrived,
        breaker: handled?.breaker,
        ...(handled === undefined ? {} : { retry: handled.retry }),
      }),
    )
  }
  const traced = (name: string, contract: ContractDescription) => ({
    ...{ telemetry: signals, team, subscription: name, topic: contract.name, system: transport.name },
    join: (tx: Tx) => database.join(tx),
  })

  for (const kept of declaration.keeps) {
    const { name, entity, flow, audience } = kept
    const applied = options.applied.get(name) as AppliedKeys
    const reads = copyReader(kept, declaration.lifts)
    const consumer = replicaConsumer<Tx>({ read: reads.reader.read, onApplied: (keys) => applied.announce(keys) })
    add(name, entity, tracedConsumer(traced(name, entity), consumer), flow)
    fillers.push({
      name,
      entity,
      reads,
      onApplied: (keys) => applied.announce(keys),
      ...(audience === undefined ? {} : { audience }),
    })
  }
  for (const handled of [...declaration.handles, ...declaration.answers]) {
    const { name, contract, audience, timeout, batch } = handled
    const own = contract.contractKind === 'request' ? decidingHandle(contract, handled.handle) : handled.handle
    const fields = fieldsRead(handled)
    const schema = fields === undefined ? contract.schema : partialSchema(contract, fields)
    const { read } = reader({
      ...{ contract, schema, lifts: declaration.lifts, fields: handled.fields && fields },
      ...(audience === undefined ? {} : { audience }),
    })
    const handle = tracedHandler<Tx>(traced(name, contract), own)
    const contextFor = options.contextFor as (base: HandlerContext<Tx>, message: Pick<MessageBase, 'traceparent'>) => never
    const consumer = handlerConsumer<Tx, never>({ contract, read, handle, contextFor, timeout, batch, logger })
    add(name, contract, consumer, handled.flow, handled)
  }
  return { subscriptions, fillers, permits }

  function decidingHandle(request: Request, handle: Handled['handle']): Handled['handle'] {
    return deciding<Tx, Request>({ request, handle: handle as never, database, onDecided: options.onDecided }) as never
  }
}
