import type { Delivery, DeliveryHandler, DeliveryResult, ReceiveOptions, Transport } from '../transport/transport.ts'

export interface AdversaryOptions {
  /** The same seed misbehaves in the same way. */
  readonly seed: number
  /** Deliveries of each message at most. Default 3. */
  readonly copies?: number
  /** How far messages of different keys may overtake each other, in messages. Default 16. */
  readonly reorder?: number
  /** Messages at the handler at once, at most. Few make small batches, and it is between batches that order is lost. Default: as asked. */
  readonly prefetch?: number
}

/**
 * A broker at its worst within what `Transport` allows: each message comes up to three times, messages of different keys
 * overtake each other, and a suffix that was acknowledged already comes again, in order. Only receiving is disturbed.
 */
export function adversarialTransport(inner: Transport, options: AdversaryOptions): Transport {
  const { copies = 3, reorder = 16, prefetch } = options
  const random = generator(options.seed)

  function receive(subscription: string, handler: DeliveryHandler, given: ReceiveOptions): Promise<void> {
    /** What each bucket has acknowledged last: what a broker that lost its positions gives out again. */
    const done = new Map<number, Delivery[]>()

    async function deliver(deliveries: readonly Delivery[]): Promise<readonly DeliveryResult[]> {
      const bucket = deliveries[0]?.bucket ?? 0
      const suffix = random() < 0.3 ? (done.get(bucket) ?? []).map((delivery) => ({ ...delivery, redelivered: true })) : []
      const alone = suffix.splice(0, Math.floor(random() * (suffix.length + 1)))
      const shuffled = overtake([...suffix, ...deliveries], reorder, random)
      const calls: Promise<readonly DeliveryResult[]>[] = [handler(shuffled)]
      // In order as well, so that a key's messages come as 1 2 3 1 2 3: a repetition, never an inversion of first deliveries.
      for (let copy = 1; copy < copies; copy++) {
        if (random() < 0.5) calls.push(handler(shuffled.map((delivery) => ({ ...delivery, redelivered: true }))))
      }
      const [first, ...others] = await Promise.all(calls)
      // A part of the suffix comes alone, older messages without the newer ones that followed them; and last, so that no first delivery waits for it.
      if (alone.length > 0) await handler(alone)
      const refused = new Set<string>()
      for (const [i, delivery] of shuffled.entries()) {
        if ([first, ...others].some((results) => results?.[i] !== 'ack')) refused.add(delivery.message.id)
      }
      const acked = deliveries.filter(({ message }) => !refused.has(message.id))
      done.set(bucket, [...(done.get(bucket) ?? []), ...acked].slice(-reorder))
      return deliveries.map(({ message }) => (refused.has(message.id) ? 'later' : 'ack'))
    }

    return inner.receive(subscription, deliver, prefetch === undefined ? given : { ...given, prefetch })
  }

  return { ...inner, receive }
}

/** Moves messages forward past those of other keys, never past one of their own. */
function overtake(deliveries: readonly Delivery[], distance: number, random: () => number): Delivery[] {
  const moved = [...deliveries]
  for (let from = 1; from < moved.length; from++) {
    if (random() < 0.5) continue
    const one = moved[from] as Delivery
    let to = from
    const least = Math.max(0, from - Math.floor(random() * distance))
    while (to > least && moved[to - 1]?.message.key !== one.message.key) to--
    moved.splice(from, 1)
    moved.splice(to, 0, one)
  }
  return moved
}

/** mulberry32 */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
