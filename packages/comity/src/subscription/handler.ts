import { type ContractDescription, type DataOf, type Entity, type Event, type FieldOf, teamOfSource } from '@comity/contract'
import { boundLogger, type Logger } from '../foundation/index.ts'
import type { Batch, Consumer, Running } from './consumer.ts'
import { HandlerTimeout } from './errors.ts'
import { recorded, recordFresh } from './inbox.ts'
import type { Message, Outcome } from './message.ts'
import type { Read } from './reading.ts'
import { withinTime } from './within-time.ts'

/** What a handler of an event gets. */
export interface EventMessage<Data = unknown> extends MessageBase {
  readonly kind: 'event'
  readonly data: Data
}
/** What a handler of an entity gets: the state after the change, never the one before. */
export interface EntityMessage<State = unknown> extends MessageBase {
  readonly kind: 'created' | 'updated' | 'deleted'
  /** null when it was deleted. */
  readonly state: State | null
}
/** A request as it comes: what is asked, by whom, and what travels beside it. */
export interface RequestEnvelope<Data = unknown> extends MessageBase {
  readonly kind: 'event'
  readonly data: Data
  /** The team that asks. */
  readonly asker: string
  readonly extensions: Readonly<Record<string, string>>
}
export interface MessageBase {
  /** Unique over all teams; the same at every delivery. */
  readonly id: string
  /** The contract's name. */
  readonly type: string
  readonly key: string
  readonly tenant: string | undefined
  readonly version: number
  /** RFC 3339, UTC, microseconds: when it was published. */
  readonly time: string
  /** Whether this is a run over history that someone asked for. */
  readonly replayed: boolean
  readonly traceparent: string | undefined
}
/** What a handler gets that reads these fields; all, unless it says which. */
export type MessageOf<C extends Entity | Event, Field extends string = FieldOf<C>> = C extends Entity
  ? EntityMessage<ReadOf<C, Field>>
  : EventMessage<ReadOf<C, Field>>
type ReadOf<C extends Entity | Event, Field extends string> = [FieldOf<C>] extends [Field]
  ? DataOf<C>
  : Pick<DataOf<C>, Extract<keyof DataOf<C>, Field | C['keyFields'][number] | TenantOf<C>>>
type TenantOf<C> = C extends { readonly '~types'?: { readonly tenant: infer Tenant } } ? Tenant : never

export interface HandlerContext<Tx> {
  /** The transaction of the user's own library: what is written through it commits with the acknowledgement, or not at all. */
  readonly tx: Tx
  readonly key: string
  readonly tenant: string | undefined
  /** 1 for the first try. */
  readonly attempt: number
  /** Aborts at the time limit, and when the process stops or the subscription is paused. */
  readonly signal: AbortSignal
  /** The team's logger with the ids of this message in every line. Never log payloads. */
  readonly logger: Logger
  /** For what takes long: operators see how far it is. */
  progress(done: number, total?: number): void
}

export interface HandlerOptions<Tx, Context> {
  readonly contract: ContractDescription
  readonly read: Read
  readonly handle: (message: never, context: Context) => Promise<void> | void
  /** Injected by the team: adds `publish` in the same transaction. The inbox knows no outbox. */
  readonly contextFor: (base: HandlerContext<Tx>, message: MessageBase) => Context
  /** Milliseconds for one message; below the lease. */
  readonly timeout: number
  readonly batch: number
  readonly logger: Logger
}

/** dedupe + handle + record: the effect of each message happens once per generation. */
export function handlerConsumer<Tx, Context>(options: HandlerOptions<Tx, Context>): Consumer<Tx> {
  const { contract, handle, contextFor, timeout } = options
  const running = new Set<{ -readonly [Name in keyof Running]: Running[Name] }>()

  async function consume(batch: Batch<Tx>): Promise<readonly Outcome[]> {
    const fresh = new Set(await recordFresh(batch.sql, batch.subscription, batch.generation, batch.messages))
    const outcomes: Outcome[] = []
    for (const message of batch.messages) {
      // Whatever has not begun can begin elsewhere.
      batch.signal.throwIfAborted()
      batch.mayBegin?.(message)
      if (fresh.delete(message.envelope.id)) {
        await run(message, batch)
        outcomes.push('applied')
      } else {
        outcomes.push('duplicate')
      }
    }
    return outcomes
  }

  async function run(message: Message, batch: Batch<Tx>): Promise<void> {
    const event = decode(message, batch.replayedUntil)
    const { id, key, tenant } = event
    const attempt = batch.attempt + 1
    const own: { -readonly [Name in keyof Running]: Running[Name] } = { message: id, key, since: new Date(), attempt }
    running.add(own)
    const late = (): Error => new HandlerTimeout({ subscription: batch.subscription, limit: `${timeout} ms` })
    try {
      await withinTime(timeout, batch.signal, late, (signal) =>
        handle(
          event as never,
          contextFor(
            {
              ...{ tx: batch.tx, key, tenant, attempt, signal },
              logger: boundLogger(options.logger, { subscription: batch.subscription, type: event.type, message: id, tenant, attempt }),
              progress(done, total) {
                own.done = done
                if (total !== undefined) own.total = total
              },
            },
            event,
          ),
        ),
      )
    } finally {
      running.delete(own)
    }
  }

  function decode({ incoming, envelope }: Message, replayedUntil: string | undefined): MessageBase {
    const base = {
      id: envelope.id,
      type: envelope.type,
      key: envelope.subject,
      tenant: envelope.tenant,
      version: envelope.version,
      time: envelope.time,
      replayed: replayedUntil !== undefined && envelope.time < replayedUntil,
      traceparent: envelope.traceparent,
      kind: envelope.kind,
    }
    if (envelope.kind === 'deleted') return Object.assign(base, { state: null })
    const { data } = options.read(incoming.data, envelope.subject)
    if (contract.contractKind === 'request')
      return Object.assign(base, { data, asker: teamOfSource(envelope.source), extensions: envelope.extra ?? {} })
    return Object.assign(base, contract.contractKind === 'entity' ? { state: data } : { data })
  }

  return {
    kind: 'handler',
    batch: options.batch,
    consume,
    running: () => [...running].filter(({ since }) => Date.now() - since.getTime() >= LONG),
    done: ({ sql, subscription, generation, messages }) => recorded(sql, subscription, generation, messages),
  }
}

/** A handler that has been running so long is shown, in milliseconds. */
const LONG = 1000
