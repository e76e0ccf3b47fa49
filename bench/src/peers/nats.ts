import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, headers } from '@nats-io/transport-node'
import type { Peer } from './peer.ts'

const STREAM = 'raw'

/**
 * The client of NATS: plain publishes, each batch ended by an acknowledged one; one durable pull consumer that acknowledges the last message
 * of each batch for all before it. No buckets, leases, fences or checks of sequences.
 */
export const natsPeer: Peer = async (url, { events, batch, sample }) => {
  const servers = new URL(url).host
  const [sender, receiver] = [await connect({ servers }), await connect({ servers })]
  const manager = await jetstreamManager(sender)
  await manager.streams.add({ name: STREAM, subjects: [`${STREAM}.>`] })
  await manager.consumers.add(STREAM, { durable_name: 'peer', ack_policy: AckPolicy.All, max_ack_pending: -1 })

  const publish = async (): Promise<void> => {
    const acknowledged = jetstream(sender)
    for (let from = 0; from < events; from += batch) {
      for (let n = from; n < from + batch; n++) {
        const { id, key, attributes, data } = sample(n)
        const given = headers()
        given.set('id', id)
        given.set('key', key)
        given.set('attributes', JSON.stringify(attributes))
        if (n < from + batch - 1) sender.publish(`${STREAM}.0`, data, { headers: given })
        else await acknowledged.publish(`${STREAM}.0`, data, { headers: given })
      }
    }
  }
  const consume = async (): Promise<void> => {
    const consumer = await jetstream(receiver).consumers.get(STREAM, 'peer')
    const messages = await consumer.consume({ max_messages: 8000 })
    let received = 0
    for await (const message of messages) {
      JSON.parse(message.headers?.get('attributes') ?? '{}')
      message.string()
      received++
      if (received % batch === 0) message.ack()
      if (received >= events) break
    }
    await messages.close()
  }
  await Promise.all([publish(), consume()])
  await Promise.all([sender.close(), receiver.close()])
}
