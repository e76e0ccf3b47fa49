import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Batch, Consumer } from '../subscription/consumer.ts'
import { InvalidMessage } from '../subscription/errors.ts'
import type { Message, Outcome } from '../subscription/message.ts'
import type { Read } from '../subscription/reading.ts'
import { copyStatements } from './copy-statements.ts'
import type { ReplicaSql } from './replica-sql.ts'
import { keptOf } from './subset.ts'

const CONFLICT = `
  insert into comity.conflicts (replica, key, version)
  select $1::text, c.key, c.version from unnest($2::text::text[], $3::text::bigint[]) c(key, version) on conflict do nothing`

/**
 * Applies an entity's changes to a partial copy. Needs no inbox: a version is applied only over an older one, so a
 * repetition changes nothing and the order does not matter. Of several changes of a key in one batch only the newest
 * is applied; the others are stale by then.
 */
export function replicaConsumer<Tx>(options: {
  readonly batch?: number
  /** Of the fields that are kept. */
  readonly read: Read
  readonly onApplied?: (keys: readonly string[]) => void
}): Consumer<Tx> {
  const statements = copyStatements()

  async function consume({ messages, subscription, sql }: Batch<Tx>): Promise<readonly Outcome[]> {
    const replica = await statements.of(sql, subscription)
    const newest = new Map<string, Message>()
    const conflicts: Message[] = []
    for (const message of messages) {
      const other = newest.get(message.envelope.subject)
      if (other === undefined || other.envelope.version < message.envelope.version) newest.set(message.envelope.subject, message)
      else if (other.envelope.version === message.envelope.version && other.incoming.data !== message.incoming.data) conflicts.push(message)
    }
    const said: Message[] = []
    const deletions: Message[] = []
    for (const message of newest.values()) (message.envelope.kind === 'deleted' ? deletions : said).push(message)
    const kept = await keptOf(sql, replica.subset, replica.subset === undefined ? '' : jsonArray(said, options.read))
    const states = said.filter((_, position) => kept(position))
    // What is outside of the subset is no row of this copy: like a deletion it leaves its version, for what is older may come later.
    deletions.push(...said.filter((_, position) => !kept(position)))

    const ended = new Map<Message, Outcome>()
    await recordConflicts(sql, subscription, conflicts, ended)
    if (states.length > 0) {
      const values = [keysOf(states), versionsOf(states), jsonArray(states, options.read)]
      const applied = await versions(sql, replica.upsert, [...values, subscription])
      if (replica.rebuilt) await sql.query(replica.rebuilt.upsert, [...values, subscription])
      for (const message of states) if (applied.has(message.envelope.version)) ended.set(message, 'applied')
      if (applied.size < states.length)
        await lookAtStale(
          sql,
          replica,
          subscription,
          states.filter((message) => !ended.has(message)),
          ended,
          options.read,
        )
    }
    if (deletions.length > 0) {
      const stale = await versions(sql, replica.remove, [keysOf(deletions), versionsOf(deletions), subscription])
      if (replica.rebuilt) await sql.query(replica.rebuilt.remove, [keysOf(deletions), versionsOf(deletions), subscription])
      for (const message of deletions) if (!stale.has(message.envelope.version)) ended.set(message, 'applied')
    }
    options.onApplied?.([...newest.keys()])
    return messages.map((message) => ended.get(message) ?? 'stale')
  }

  return { kind: 'replica', batch: options.batch ?? 1000, consume }
}

/**
 * Of what was not applied: a state of another key than its message's is refused, the same version with other content is kept as
 * it is and recorded, never silently. The rest is older than what the copy holds.
 */
async function lookAtStale(
  sql: Queryable,
  replica: ReplicaSql,
  name: string,
  stale: readonly Message[],
  ended: Map<Message, Outcome>,
  read: Read,
): Promise<void> {
  const { rows } = await sql.query<{ version: string | null; other_key: boolean }>(replica.suspects, [
    keysOf(stale),
    versionsOf(stale),
    jsonArray(stale, read),
  ])
  if (rows.some((row) => row.other_key)) throw new InvalidMessage({ problem: 'its state is not one object of its own key' })
  if (rows.length === 0) return
  const differing = new Set(rows.map((row) => Number(row.version)))
  const conflicts = stale.filter(({ envelope }) => differing.has(envelope.version))
  await recordConflicts(sql, name, conflicts, ended)
}

async function recordConflicts(sql: Queryable, name: string, conflicts: readonly Message[], ended: Map<Message, Outcome>): Promise<void> {
  if (conflicts.length === 0) return
  await sql.query(CONFLICT, [name, keysOf(conflicts), versionsOf(conflicts)])
  for (const message of conflicts) ended.set(message, 'discarded')
}

async function versions(sql: Queryable, text: string, values: readonly unknown[]): Promise<ReadonlySet<number>> {
  const { rows } = await sql.query<{ versions: string }>(text, values)
  return new Set(JSON.parse(rows[0]?.versions ?? '[]') as number[])
}

/** The states are JSON texts already; each is looked at, for one that is not whole would slip into its neighbours. */
function jsonArray(messages: readonly Message[], read: Read): string {
  return `[${messages.map(({ incoming, envelope }) => read(incoming.data, envelope.subject).text).join()}]`
}

function keysOf(messages: readonly Message[]): string {
  return arrayLiteral(messages.map(({ envelope }) => envelope.subject))
}
function versionsOf(messages: readonly Message[]): string {
  return arrayLiteral(messages.map(({ envelope }) => envelope.version))
}
