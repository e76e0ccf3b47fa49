import { openTransport } from 'comity/transport'
import { type Round, timed } from './measure.ts'
import type { Peer } from './peers/peer.ts'
import { stage } from './stage.ts'

const BATCH = 1000
const TOPIC = 'owner.raw'
const SUBSCRIPTION = 'keeper.raw'

/** The bytes of a message of the other benchmarks: an envelope of attributes, and a body of about 394 bytes. */
export function sample(n: number): {
  readonly id: string
  readonly key: string
  readonly attributes: Record<string, string>
  readonly data: string
} {
  return {
    id: `owner-${n}`,
    key: String(n % 10_000),
    attributes: {
      'ce-specversion': '1.0',
      'ce-id': `owner-${n}`,
      'ce-source': '/teams/owner',
      'ce-type': TOPIC,
      'ce-subject': String(n % 10_000),
      'ce-time': '2026-01-01T00:00:00.000000Z',
      'ce-comityversion': String(n),
    },
    data: `{"id":${n},"note":"${'n'.repeat(370)}"}`,
  }
}

/**
 * `send` and `receive` alone, both at once in one process, against the best loops of the same client library that publish and consume the
 * same messages in the same run.
 */
export async function transport(
  events: number,
  { broker, peer }: { readonly broker: string | undefined; readonly peer: Peer },
): Promise<Round> {
  await using on = await stage(broker)
  const peerSeconds = (await timed(() => peer(on.bus, { events, batch: BATCH, sample }))).seconds

  await using bus = openTransport(on.bus)
  await bus.provision({
    topics: [{ name: TOPIC, team: 'owner' }],
    subscriptions: [{ name: SUBSCRIPTION, team: 'keeper', topic: TOPIC }],
  })
  const measured = await timed(async () => {
    const enough = new AbortController()
    let received = 0
    const receiving = bus.receive(
      SUBSCRIPTION,
      async (deliveries) => {
        received += deliveries.length
        if (received >= events) enough.abort()
        return deliveries.map(() => 'ack')
      },
      { signal: enough.signal, prefetch: 8000 },
    )
    for (let from = 0; from < events; from += BATCH) {
      await bus.send(
        TOPIC,
        Array.from({ length: BATCH }, (_, n) => sample(from + n)),
      )
    }
    await receiving
  })
  return { events, ...measured, limitRate: events / peerSeconds }
}
