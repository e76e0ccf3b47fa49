import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { messageId } from '@comity/contract'
import type { Operation } from 'comity/testing'
import type { Pool } from 'pg'
import { CONTRACTS } from './contracts.ts'
import { Observer } from './observer.ts'
import { HANDLED, KEPT } from './teams.ts'

/** A subscription and the topic that it is of. */
const SUBSCRIBED: readonly (readonly [subscription: string, topic: string])[] = [
  ...Object.entries(HANDLED).map(([name, { name: topic }]) => [name, topic] as const),
  ...Object.entries(KEPT).map(([name, { entity }]) => [name, entity.name] as const),
  ...CONTRACTS.map(({ name }, i) => [Observer.subscriptions[i] as string, name] as const),
]

/** What is known of one run's acknowledgements, and how far its files have been read. */
interface Read {
  readonly offsets: Map<string, number>
  /** subscription → ids */
  readonly acknowledged: Map<string, Set<string>>
}
const runs = new Map<string, Read>()

/**
 * Of a bus without `stats`: messages that were sent to a subscription and that nobody has written down to have acknowledged, by the owner's
 * outbox and the history that all processes write.
 */
export async function unacknowledged(shop: Pool, folder: string): Promise<number> {
  const run = runs.get(folder) ?? { offsets: new Map(), acknowledged: new Map() }
  runs.set(folder, run)
  for (const name of readdirSync(folder)) if (name.endsWith('.jsonl')) readOn(join(folder, name), run)
  const { rows } = await shop.query<{ topic: string; sent: string[] }>(
    `select o.topic, json_agg(o.id::text) as sent from comity.outbox o
     where not exists (select from comity.withheld w where w.id = o.id and (w.resolution is null or w.resolution like 'superseded%')) group by o.topic`,
  )
  let left = 0
  for (const [subscription, topic] of SUBSCRIBED) {
    const acknowledged = run.acknowledged.get(subscription)
    for (const id of rows.find((row) => row.topic === topic)?.sent ?? []) if (!acknowledged?.has(messageId('shop', Number(id)))) left++
  }
  return left
}

function readOn(path: string, { offsets, acknowledged }: Read): void {
  const file = openSync(path, 'r')
  const from = offsets.get(path) ?? 0
  const rest = Buffer.alloc(fstatSync(file).size - from)
  readSync(file, rest, 0, rest.length, from)
  const text = rest.toString('latin1')
  closeSync(file)
  // The last line may still be being written.
  const end = text.lastIndexOf('\n') + 1
  offsets.set(path, from + end)
  for (const line of text.slice(0, end).split('\n')) {
    if (!line.includes('"f":"ack"')) continue
    const { subscription, messages } = JSON.parse(line) as Operation & { f: 'ack' }
    const known = acknowledged.get(subscription) ?? new Set()
    acknowledged.set(subscription, known)
    for (const id of messages) known.add(id)
  }
}
