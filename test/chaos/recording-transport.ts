import type { Delivery, DeliveryResult, OutgoingMessage, ReceiveOptions, SendOptions, Transport } from 'comity/transport'
import { monotonic, type Recorder } from './recorder.ts'

/** Where a scenario may stop a process dead: between what the broker did and what the engine does next. */
export interface TransportHooks {
  beforeSend?(topic: string, messages: readonly OutgoingMessage[]): Promise<void> | void
  /** The broker has stored them; the relay does not know. */
  afterSend?(topic: string, messages: readonly OutgoingMessage[]): Promise<void> | void
  /** The consumer has committed; the broker does not know. */
  beforeAcknowledge?(subscription: string, deliveries: readonly Delivery[]): Promise<void> | void
}

/** A transport as it is, that writes down what was sent under which term and what was acknowledged. */
export function recordingTransport(inner: Transport, recorder: Recorder, hooks: TransportHooks = {}): Transport {
  let calls = 0
  const recorded: Transport = {
    ...inner,
    name: inner.name,
    guarantees: inner.guarantees,
    async send(topic, messages, options: SendOptions = {}) {
      await hooks.beforeSend?.(topic, messages)
      const { fence } = options
      const op = `${recorder.process}/${++calls}`
      const base = { f: 'send', op, team: fence?.team ?? '', incarnation: fence?.incarnation ?? 0, term: fence?.term ?? 0 } as const
      if (fence) recorder.record({ ...base, phase: 'invoke', time: monotonic() })
      try {
        const results = await inner.send(topic, messages, options)
        const stored = results.some(({ status }) => status === 'stored')
        if (fence) recorder.record({ ...base, phase: stored ? 'ok' : 'fail', time: monotonic() })
        await hooks.afterSend?.(topic, messages)
        return results
      } catch (error) {
        if (fence) recorder.record({ ...base, phase: 'info', time: monotonic() })
        throw error
      }
    },
    receive(subscription, handler, options: ReceiveOptions) {
      const observed = async (deliveries: readonly Delivery[]): Promise<readonly DeliveryResult[]> => {
        const results = await handler(deliveries)
        const messages = deliveries.flatMap((delivery, i) => (results[i] === 'ack' ? [delivery.message.id] : []))
        await hooks.beforeAcknowledge?.(subscription, deliveries)
        if (messages.length > 0) recorder.record({ f: 'ack', phase: 'ok', time: monotonic(), subscription, messages })
        return results
      }
      return inner.receive(subscription, observed, options)
    },
  }
  return recorded
}
