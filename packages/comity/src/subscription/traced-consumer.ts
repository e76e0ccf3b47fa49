import { type Context, context, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api'
import { errorType } from '../foundation/log/error-fields.ts'
import { failSpan, linkTo, parentOf, startSpan, type Telemetry, traceparentOf } from '../foundation/telemetry/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Consumer } from './consumer.ts'
import type { HandlerContext, MessageBase } from './handler.ts'

export interface Traced {
  readonly telemetry: Telemetry
  readonly team: string
  readonly subscription: string
  readonly topic: string
  /** The transport's name. */
  readonly system: string
}

/** A handler each of whose calls is a span, a child of what created its message: what it publishes, or writes by SQL, goes on from there. */
export function tracedHandler<Tx>(
  traced: Traced & { readonly join: (tx: Tx) => Queryable },
  handle: (message: never, context: never) => Promise<void> | void,
): (message: never, context: never) => Promise<void> | void {
  const { join, telemetry } = traced
  if (!telemetry.active) return handle
  /** Transactions whose SQL has been given a traceparent: the next message of theirs must not keep it. */
  const carrying = new WeakSet<object>()

  /** A table that the handler writes may be captured: its changes carry what the session says. */
  async function carry(span: Span, tx: Tx): Promise<void> {
    const recording = span.isRecording()
    if (typeof tx !== 'object' || tx === null || !(recording || carrying.has(tx))) return
    await join(tx).query(CARRY, [recording ? traceparentOf(span.spanContext()) : ''])
    carrying.add(tx)
  }

  return (message, handlerContext) => {
    const { id, traceparent } = message as MessageBase
    const { tx, attempt } = handlerContext as HandlerContext<Tx>
    const parent = parentOf(traceparent)
    return inProcessing(
      traced,
      { parent, count: 1, attributes: { 'messaging.message.id': id, 'comity.attempt': attempt } },
      async (span) => {
        await carry(span, tx)
        await handle(message, handlerContext)
      },
    )
  }
}

/** A replica each of whose batches is a span, with links to what created its messages. */
export function tracedConsumer<Tx>(traced: Traced, inner: Consumer<Tx>): Consumer<Tx> {
  if (!traced.telemetry.active) return inner
  return {
    ...inner,
    consume(batch) {
      const { messages, attempt } = batch
      const attributes = { 'messaging.batch.message_count': messages.length, 'comity.attempt': attempt + 1 }
      return inProcessing(traced, { parent: ROOT_CONTEXT, count: messages.length, attributes }, (span) => {
        linkTo(
          span,
          messages.map(({ envelope }) => envelope.traceparent),
        )
        return inner.consume(batch)
      })
    },
  }
}

const CARRY = `select set_config('comity.traceparent', $1::text, true)`

async function inProcessing<Result>(
  { telemetry, team, subscription, topic, system }: Traced,
  { parent, count, attributes }: { parent: Context; count: number; attributes: Readonly<Record<string, string | number>> },
  work: (span: Span) => Promise<Result>,
): Promise<Result> {
  const common = {
    'messaging.system': system,
    'messaging.destination.name': topic,
    'messaging.destination.subscription.name': subscription,
    'messaging.operation.name': 'process',
    'comity.team': team,
  }
  const span = startSpan('process', subscription, parent, { ...common, 'messaging.operation.type': 'process', ...attributes })
  const began = performance.now()
  let failed: { readonly 'error.type'?: string } = {}
  try {
    return await context.with(trace.setSpan(parent, span), work, undefined, span)
  } catch (error) {
    failed = { 'error.type': errorType(error) }
    failSpan(span, error)
    throw error
  } finally {
    telemetry.count('messaging.client.consumed.messages', count, { ...common, ...failed })
    telemetry.record('messaging.process.duration', (performance.now() - began) / 1000, { ...common, ...failed })
    span.end()
  }
}
