import { randomUUID } from 'node:crypto'
import { decorateTransport } from './decorate-transport.ts'
import type { DeliveryHandler, OutgoingMessage, Transport } from './transport.ts'

/** The attribute by which a mark is known: a message of the relay about itself, which is nobody's data. */
const MARK = 'comity-mark'

/** "Who owns this topic publishes to both brokers": sent to the new one, where a topic may be quiet for days. */
export function movingMark(): OutgoingMessage {
  return { id: `comity-mark-${randomUUID()}`, key: MARK, attributes: { [MARK]: 'moving' }, data: '' }
}

/** Takes marks out of what a handler gets: they are acknowledged and go no further. */
export function withoutMarks(handler: DeliveryHandler): DeliveryHandler {
  return async (deliveries) => {
    const data = deliveries.filter(({ message }) => message.attributes[MARK] === undefined)
    if (data.length === deliveries.length) return handler(deliveries)
    const results = data.length === 0 ? [] : await handler(data)
    let next = 0
    return deliveries.map(({ message }) => (message.attributes[MARK] === undefined ? (results[next++] ?? 'later') : 'ack'))
  }
}

/** The same transport, whose receivers see no marks: what a move has left in a subscription stays there after it. */
export function unmarkedTransport(inner: Transport): Transport {
  return decorateTransport(inner, {
    receive: (subscription, handler, options) => inner.receive(subscription, withoutMarks(handler), options),
  })
}
