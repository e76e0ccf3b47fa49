import { context, trace } from '@opentelemetry/api'
import { contextOf, failSpan, parentOf, startSpan, traceparentOf } from '../foundation/telemetry/index.ts'

export interface Created {
  readonly topic: string
  /** W3C trace context that the caller passed; goes before the active span's. */
  readonly traceparent: string | undefined
  /** Messages of one call. */
  readonly count: number
}

/**
 * Runs `work` in a span `create <topic>` where the caller is being traced, and gives it the traceparent that is to travel with the messages:
 * the span's, or what the caller passed where no SDK is registered. Whoever is not traced pays one look-up.
 */
export function inCreation<Result>(
  { topic, traceparent, count }: Created,
  work: (traceparent: string | undefined) => Promise<Result>,
): Promise<Result> {
  const given = contextOf(traceparent)
  const parent = given === undefined ? context.active() : parentOf(traceparent)
  if (trace.getSpanContext(parent) === undefined) return work(traceparent)
  const span = startSpan('create', topic, parent, {
    'messaging.destination.name': topic,
    'messaging.operation.name': 'create',
    'messaging.operation.type': 'create',
    ...(count === 1 ? {} : { 'messaging.batch.message_count': count }),
  })
  const own = span.spanContext()
  return context
    .with(trace.setSpan(parent, span), work, undefined, own.spanId === given?.spanId ? traceparent : traceparentOf(own))
    .catch((error: unknown) => {
      failSpan(span, error)
      throw error
    })
    .finally(() => span.end())
}

/** What a handler publishes belongs to the trace of its message, also where no SDK is registered: the traceparent is passed on. */
export function continuing<Options extends { readonly traceparent?: string }>(
  traceparent: string | undefined,
  given: Options | undefined,
): Options | { readonly traceparent: string } | undefined {
  if (traceparent === undefined || given?.traceparent !== undefined || trace.getActiveSpan() !== undefined) return given
  return { ...given, traceparent }
}
