import { randomUUID } from 'node:crypto'
import { bucketOf } from '@comity/contract'
import { decorateTransport } from './decorate-transport.ts'
import type { Delivery, DeliveryHandler, DeliveryResult, OutgoingMessage, Transport } from './transport.ts'

/** The attribute by which a mark is known: a message of the relay about itself, which is nobody's data. */
const MARK = 'comity-mark'
const MOVING = 'moving'
const RELAY = 'relay'
/** A relay's mark that nothing passes: what comes after it in its bucket is given to nobody before it has been told. */
const HANDING_OVER = 'handing-over'

/** "Who owns this topic publishes to both brokers": sent to the new one, where a topic may be quiet for days. */
export function movingMark(): OutgoingMessage {
  return { id: `comity-mark-${randomUUID()}`, key: MARK, attributes: { [MARK]: MOVING }, data: '' }
}

/** "Everything of mine up to this version has been sent to this bucket." One of as many as the topic has buckets. */
export interface RelayMark {
  readonly version: number
  /** From 0. */
  readonly index: number
  readonly of: number
  /** And what comes after it is for another team to say. */
  readonly handOver?: HandOver
}

/** An entity that went from one team to another: up to `version` it was the owner's, above it is the next one's. */
export interface HandOver {
  readonly version: number
  readonly owner: string
  readonly next: string
}

/** A mark for each bucket of a topic. Where another broker has fewer buckets (as a team moves), they are in each of those too. */
export function relayMarks(version: number, buckets: number, handOver?: HandOver): readonly OutgoingMessage[] {
  return keysOfBuckets(buckets).map((key, index) => ({
    id: `comity-mark-${randomUUID()}`,
    key,
    attributes: { [MARK]: handOver === undefined ? RELAY : HANDING_OVER },
    data: JSON.stringify({ version, index, of: buckets, ...(handOver && { handOver }) } satisfies RelayMark),
  }))
}

/** A key for each bucket, by trying. */
function keysOfBuckets(buckets: number): readonly string[] {
  const keys: string[] = []
  for (let n = 0, found = 0; found < buckets; n++) {
    const key = `${MARK}-${n}`
    const bucket = bucketOf(key, buckets)
    if (keys[bucket] !== undefined) continue
    keys[bucket] = key
    found++
  }
  return keys
}

/** Takes the marks of a move out of what a handler gets: they are acknowledged and go no further. */
export function withoutMovingMarks(handler: DeliveryHandler): DeliveryHandler {
  return async (deliveries) => {
    const data = deliveries.filter(({ message }) => message.attributes[MARK] !== MOVING)
    if (data.length === deliveries.length) return handler(deliveries)
    const results = data.length === 0 ? [] : await handler(data)
    let next = 0
    return deliveries.map(({ message }) => (message.attributes[MARK] !== MOVING ? (results[next++] ?? 'later') : 'ack'))
  }
}

/**
 * Takes all marks out, and tells those of the relay when they are **passed**: everything that was delivered of their bucket before them has
 * ended. While something of it is still to come again, so is the mark: a broker delivers it before anything newer of its bucket. What a process was not
 * given of a bucket had been acknowledged (docs/decisions/0009), so one process knows enough. Behind a mark of a hand-over everything of its bucket
 * waits until that has been told.
 */
export function passingMarks(handler: DeliveryHandler, onPassed?: (mark: RelayMark) => Promise<void>): DeliveryHandler {
  /** Per bucket: the calls that are not answered. Whether all of a call was acknowledged. */
  const open = new Map<number, Set<Promise<boolean>>>()
  /** Per bucket: a call that has a hand-over in it, and whether that was told. */
  const barriers = new Map<number, Promise<boolean>>()

  async function handle(deliveries: readonly Delivery[], before: readonly Promise<boolean>[]): Promise<readonly DeliveryResult[]> {
    const data = deliveries.filter(({ message }) => message.attributes[MARK] === undefined)
    if (data.length === deliveries.length) return handler(deliveries)
    const answers = data.length === 0 ? [] : await handler(data)
    let ended = (await Promise.all(before)).every(Boolean)
    let next = 0
    const results: DeliveryResult[] = []
    for (const { message } of deliveries) {
      const isData = message.attributes[MARK] === undefined
      const result = isData ? (answers[next++] ?? 'later') : ended ? await passed(message) : 'later'
      ended &&= result === 'ack'
      results.push(result)
    }
    return results
  }

  /** Up to a hand-over, then it, then what follows; what follows one that was not told comes again behind it. */
  async function inTurn(deliveries: readonly Delivery[], before: readonly Promise<boolean>[]): Promise<readonly DeliveryResult[]> {
    const results: DeliveryResult[] = []
    while (results.length < deliveries.length) {
      const left = deliveries.slice(results.length)
      const part = left.slice(0, left.findIndex(isHandOver) + 1 || left.length)
      const answers = await handle(part, results.length === 0 ? before : [])
      results.push(...answers)
      if (part.some(isHandOver) && !answers.every((answer) => answer === 'ack')) break
    }
    return deliveries.map((_, i) => results[i] ?? 'later')
  }

  async function passed(message: OutgoingMessage): Promise<DeliveryResult> {
    if (![RELAY, HANDING_OVER].includes(message.attributes[MARK] as string) || onPassed === undefined) return 'ack'
    const { version, index, of, handOver } = JSON.parse(message.data) as RelayMark
    if (![version, index, of].every(Number.isSafeInteger)) return 'ack'
    await onPassed({ version, index, of, ...(handOver && { handOver }) })
    return 'ack'
  }

  return async (deliveries) => {
    const bucket = deliveries[0]?.bucket ?? 0
    const calls = open.get(bucket) ?? new Set()
    open.set(bucket, calls)
    const barrier = barriers.get(bucket)
    const before = [...calls]
    const results =
      barrier === undefined
        ? inTurn(deliveries, before)
        : barrier.then((told) => (told ? inTurn(deliveries, before) : deliveries.map((): DeliveryResult => 'later')))
    const whole = results.then(
      (answers) => answers.every((answer) => answer === 'ack'),
      () => false,
    )
    calls.add(whole)
    if (deliveries.some(isHandOver)) barriers.set(bucket, whole)
    try {
      return await results
    } finally {
      calls.delete(whole)
      if (barriers.get(bucket) === whole) barriers.delete(bucket)
    }
  }
}

function isHandOver({ message }: Delivery): boolean {
  return message.attributes[MARK] === HANDING_OVER
}

/** The same transport, whose receivers see no marks: what a move has left in a subscription stays there after it. */
export function unmarkedTransport(inner: Transport, onPassed?: (mark: RelayMark) => Promise<void>): Transport {
  return decorateTransport(inner, {
    receive: (subscription, handler, options) => inner.receive(subscription, passingMarks(handler, onPassed), options),
  })
}
