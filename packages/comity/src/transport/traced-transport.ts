import { createHash } from 'node:crypto'
import { ROOT_CONTEXT } from '@opentelemetry/api'
import { errorType } from '../foundation/log/error-fields.ts'
import { failSpan, linkTo, type SignalAttributes, startSpan, type Telemetry } from '../foundation/telemetry/index.ts'
import { decorateTransport } from './decorate-transport.ts'
import type { TransportLimits } from './guarantees.ts'
import type { OutgoingMessage, SendOptions, SendResult, Transport } from './transport.ts'

/** The transport as its relay uses it: each call of `send` is a span and is counted. Everything else goes through as it is. */
export function tracedTransport(inner: Transport, options: { readonly telemetry: Telemetry; readonly team: string }): Transport {
  const { telemetry, team } = options
  if (!telemetry.active) return inner

  async function send(topic: string, messages: readonly OutgoingMessage[], given?: SendOptions): Promise<readonly SendResult[]> {
    const attributes = {
      'messaging.system': inner.name,
      'messaging.destination.name': topic,
      'messaging.operation.name': 'send',
      'comity.team': team,
    } as const
    const span = startSpan('send', topic, ROOT_CONTEXT, {
      ...attributes,
      'messaging.operation.type': 'send',
      'messaging.batch.message_count': messages.length,
    })
    const traced = span.isRecording() ? withTraceparents(messages, inner.guarantees.limits) : messages
    linkTo(span, traceparentsOf(traced))
    const began = performance.now()
    const end = (failed?: SignalAttributes): void => {
      telemetry.record('messaging.client.operation.duration', (performance.now() - began) / 1000, { ...attributes, ...failed })
      span.end()
    }
    try {
      const results = await inner.send(topic, traced, given)
      for (const [status, count] of countsOf(results))
        telemetry.count('messaging.client.sent.messages', count, status === 'stored' ? attributes : { ...attributes, 'error.type': status })
      end()
      return results
    } catch (error) {
      const failed = { 'error.type': errorType(error) }
      telemetry.count('messaging.client.sent.messages', messages.length, { ...attributes, ...failed })
      failSpan(span, error)
      end(failed)
      throw error
    }
  }

  return decorateTransport(inner, { send })
}

const TRACEPARENT = 'ce-traceparent'

/**
 * What nobody gave a trace begins one here, if this call was sampled: plain SQL, say, whose session did not set `comity.traceparent`. Trace and
 * span are made from the message's id, so that a resend is the same message. Near the transport's limits nothing is added: no message may be
 * refused for the sake of its trace.
 */
function withTraceparents(messages: readonly OutgoingMessage[], limits: TransportLimits): readonly OutgoingMessage[] {
  const sizes = messages.map(sizeOf)
  if (sizes.reduce((sum, size) => sum + size + ADDED, 0) > limits.batchBytes) return messages
  return messages.map((message, i) => {
    if (message.attributes[TRACEPARENT] !== undefined || (sizes[i] as number) + ADDED > limits.messageBytes) return message
    return { ...message, attributes: { ...message.attributes, [TRACEPARENT]: derivedTraceparent(message.id) } }
  })
}
/** Bytes of the attribute, its name and the marks around it. */
const ADDED = 100

/** At most this many bytes, as the relay measures its batches. */
function sizeOf({ data, attributes }: OutgoingMessage): number {
  let size = data.length * 3
  for (const name in attributes) size += name.length + (attributes[name] as string).length + 6
  return size
}

function derivedTraceparent(id: string): string {
  const hash = createHash('sha256').update(id).digest('hex')
  return `00-${hash.slice(0, 32)}-${hash.slice(32, 48)}-01`
}

function* traceparentsOf(messages: readonly OutgoingMessage[]): Iterable<string | undefined> {
  for (const { attributes } of messages) yield attributes[TRACEPARENT]
}

function countsOf(results: readonly SendResult[]): ReadonlyMap<SendResult['status'], number> {
  const counts = new Map<SendResult['status'], number>()
  for (const { status } of results) counts.set(status, (counts.get(status) ?? 0) + 1)
  return counts
}
