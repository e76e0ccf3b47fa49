import { decorateTransport } from '../transport/decorate-transport.ts'
import { TransportUnavailable } from '../transport/errors.ts'
import type { Delivery, DeliveryHandler, DeliveryResult, ReceiveOptions, Transport } from '../transport/transport.ts'
import { Chance } from './adversary/chance.ts'
import { Holds } from './adversary/holds.ts'
import { MISDEEDS, type Misdeed } from './adversary/misdeeds.ts'
import { overtake } from './adversary/overtake.ts'

export interface AdversaryOptions {
  /** The same seed misbehaves in the same way, as far as it is given the same messages in the same calls. */
  readonly seed: number
  /** What it does, and how likely, from 0 (never) to 1, at each call. Those that are not named keep their usual likelihood. */
  readonly misdeeds?: Readonly<Partial<Record<Misdeed, number>>>
  /** Deliveries of each message at most, losses and suffixes not counted. Default 5. */
  readonly copies?: number
  /** How far messages of different keys may overtake each other, and how long an acknowledged suffix is, in messages. Default 16. */
  readonly reorder?: number
  /** How long a pause of a key, a stall or a late acknowledgement lasts at most, in milliseconds. Default 200. */
  readonly longest?: number
  /** Messages at the handler at once, at most. Few make small batches, and it is between batches that order is lost. Default: as asked. */
  readonly prefetch?: number
}

export interface AdversarialTransport extends Transport {
  /** How often each has really happened since it was made. */
  readonly misdeeds: Readonly<Record<Misdeed, number>>
}

/**
 * A broker at its worst within what {@link Transport} allows; see {@link Misdeed}. What it never does: give a message of a key for the first
 * time before an earlier one of that key was given, keep one for ever, or invent one. Whoever passes on it passes on every transport.
 */
export function adversarialTransport(inner: Transport, options: AdversaryOptions): AdversarialTransport {
  const { seed, copies = 5, reorder = 16, longest = 200, prefetch } = options
  const likely = { ...MISDEEDS, ...options.misdeeds }
  const misdeeds = Object.fromEntries(Object.keys(MISDEEDS).map((name) => [name, 0])) as Record<Misdeed, number>
  const sending = new Chance(seed)

  async function send(...[topic, messages, given]: Parameters<Transport['send']>): ReturnType<Transport['send']> {
    const results = await inner.send(topic, messages, given)
    if (!sending.happens(likely.unknown) || results.some(({ status }) => status === 'stale')) return results
    misdeeds.unknown++
    throw new TransportUnavailable({ transport: inner.name, reason: 'an adversary has kept the answer' })
  }

  function receive(subscription: string, handler: DeliveryHandler, given: ReceiveOptions): Promise<void> {
    // Of its own for each subscription: else what one does depends on how fast the others are.
    const chance = new Chance(seed, subscription)
    const holds = new Holds(given.signal)
    /** What each bucket has acknowledged last: what a broker that lost its positions gives out again. */
    const done = new Map<number, Delivery[]>()
    const wait = (): number => 1 + Math.floor(chance.next() * longest)
    const does = (misdeed: Misdeed): boolean => chance.happens(likely[misdeed])

    async function deliver(deliveries: readonly Delivery[]): Promise<readonly DeliveryResult[]> {
      const bucket = deliveries[0]?.bucket ?? 0
      const suffix = does('redeliver') ? (done.get(bucket) ?? []).map(again) : []
      if (suffix.length > 0) misdeeds.redeliver++
      const alone = suffix.splice(0, Math.floor(chance.next() * (suffix.length + 1)))
      const inOrder = [...suffix, ...deliveries]
      const shuffled = does('reorder') ? overtake(inOrder, reorder, chance) : inOrder
      if (shuffled.some((delivery, i) => delivery !== inOrder[i])) misdeeds.reorder++
      if (does('stall') && holds.holdAll(wait())) misdeeds.stall++
      if (does('pause') && holds.hold((shuffled[Math.floor(chance.next() * shuffled.length)] as Delivery).message.key, wait()))
        misdeeds.pause++
      const calls = [holds.through(shuffled, handler)]
      // Whole, and in order as well, so that a key's messages come as 1 2 3 1 2 3: a repetition, never an inversion of first deliveries.
      for (let copy = 1; copy < copies; copy++) if (does('duplicate')) calls.push(holds.through(shuffled.map(again), handler))
      misdeeds.duplicate += calls.length - 1
      const answers = await Promise.all(calls)
      // A part of the suffix comes alone, older messages without the newer ones that followed them; and last, so that no first delivery waits for it.
      if (alone.length > 0) await holds.through(alone, handler)
      const refused = new Set<string>()
      for (const [i, { message }] of shuffled.entries()) if (answers.some((results) => results[i] !== 'ack')) refused.add(message.id)
      // What was refused is told at once: nothing newer may come before it.
      if (does('late') && refused.size === 0) {
        misdeeds.late++
        await holds.pause(wait())
      }
      const acknowledged = deliveries.filter(({ message }) => !refused.has(message.id))
      done.set(bucket, [...(done.get(bucket) ?? []), ...acknowledged].slice(-reorder))
      const lost = does('lose') ? Math.floor(chance.next() * deliveries.length) : deliveries.length
      if (lost < deliveries.length) misdeeds.lose++
      return deliveries.map(({ message }, i) => (refused.has(message.id) || i >= lost ? 'later' : 'ack'))
    }

    return inner.receive(subscription, deliver, prefetch === undefined ? given : { ...given, prefetch })
  }

  return Object.assign(decorateTransport(inner, { send, receive }), { misdeeds })
}

function again(delivery: Delivery): Delivery {
  return delivery.redelivered ? delivery : { ...delivery, redelivered: true }
}
