import { drawAndWait, type Holder } from '../outbox/consistent-read.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import { quoteIdentifier, quoteLiteral } from '../postgres/index.ts'
import type { Removed } from './contracts.ts'
import { eraseHere } from './erase-here.ts'
import { ErasureStateThere, ErasureWaits } from './errors.ts'

/** What was removed at the owner, beside its own tables. */
export interface OwnRemoved {
  /** Rows of the outbox, of withheld changes and of events for later. */
  readonly outbox: number
  readonly withheld: number
  readonly scheduled: number
  /** The owner deleted the state itself because `delete` was said. */
  readonly deleted: boolean
  /** What the owner reads of its own. */
  readonly subscriptions: readonly Removed[]
}

export interface OwnErasure {
  readonly id: string
  readonly topic: string
  readonly key: string
  /** Whether a state that is still there is deleted; else it is refused. */
  readonly delete: boolean
  readonly author: string
}

const KIND = 'select kind, source, array_to_json(key_fields)::text as keys from comity.contracts where topic = $1::text'
const STATE_KEY = 'select comity.state_key($1::text, $2::text) as raw'
const CAPTURED = 'select source::text as source, fields::text as fields from comity.captures where topic = $1::text and released_at is null'
const PUBLISH_DELETION = `select comity.publish($1::text, null, 'deleted', key => $2::text)::text as version`
const ERASE = `
  select there, version::text as version, outbox, withheld, scheduled from comity.erase_own($1::text, $2::text, $3::text::bigint)`
const RECORD = `
  insert into comity.erasures (id, topic, key, kind, version, removed)
  values ($1::text::uuid, $2::text, $3::text, $4::text, $5::text::bigint, $6::text::jsonb)`

interface Registered {
  readonly kind: 'entity' | 'event'
  readonly source: 'captured' | 'published'
  readonly keys: string
}

/**
 * Erases one key at its owner: **draw, wait**, then in one transaction look that the state is gone, and take its payloads out of everything that
 * Comity keeps. The wait makes the version exact: a row that somebody creates again meanwhile is younger than it, and stays. Whoever announces
 * tells the holders when all of it was sent. Throws COMITY_ERASURE_STATE_THERE,
 * COMITY_ERASURE_WAITS.
 *
 * @param database for the draw, which must be no part of the transaction
 * @param sql the transaction
 */
export async function eraseOwn(
  database: Database,
  sql: Queryable,
  { id, topic, key, author, ...options }: OwnErasure,
): Promise<OwnRemoved & { readonly version: number }> {
  const registered = (await sql.query<Registered>(KIND, [topic])).rows[0] as Registered
  const drawn = await drawVersion(database)
  const deleted = options.delete && registered.kind === 'entity' && (await deleteState(sql, topic, key, registered))
  const { rows } = await sql.query<{ there: boolean; version: string; outbox: number; withheld: number; scheduled: number }>(ERASE, [
    topic,
    key,
    String(drawn),
  ])
  const { there, outbox, withheld, scheduled, ...erased } = rows[0] as (typeof rows)[0]
  if (there) {
    const { rows: captured } = await sql.query<{ source: string }>(CAPTURED, [topic])
    throw new ErasureStateThere({ topic, source: captured[0] === undefined ? 'published by code' : `in the table ${captured[0].source}` })
  }
  const version = Number(erased.version)
  const subscriptions = await eraseHere(sql, { id, topic, key, version }, author)
  const removed: OwnRemoved = { outbox, withheld, scheduled, deleted, subscriptions }
  await sql.query(RECORD, [id, topic, key, registered.kind, String(version), JSON.stringify(removed)])
  return { version, ...removed }
}

/** Throws COMITY_ERASURE_WAITS: who asks waits with an open transaction. */
async function drawVersion(database: Database): Promise<number> {
  let waitsFor: readonly Holder[] = []
  const signal = AbortSignal.timeout(PATIENCE)
  try {
    return await drawAndWait(database, {
      signal,
      onWaiting(holders) {
        waitsFor = holders
      },
    })
  } catch (error) {
    if (!signal.aborted) throw error
    const holders = waitsFor.map(
      ({ pid, prepared, seconds }) => `${pid === undefined ? `prepared ${prepared}` : `pid ${pid}`} (${seconds} s)`,
    )
    throw new ErasureWaits({ holders: holders.join(', ') || 'a transaction that is open' }, { cause: error })
  }
}

/** With the rights of whoever runs this, and no others: foreign keys and triggers of the table have their say. */
async function deleteState(sql: Queryable, topic: string, key: string, { source, keys }: Registered): Promise<boolean> {
  const raw = (await sql.query<{ raw: string | null }>(STATE_KEY, [topic, key])).rows[0]?.raw
  if (raw == null) return false
  if (source === 'published') {
    await sql.query(PUBLISH_DELETION, [topic, key])
    return true
  }
  const captured = (await sql.query<{ source: string; fields: string }>(CAPTURED, [topic])).rows[0] as { source: string; fields: string }
  const columns = new Map((JSON.parse(captured.fields) as { field: string; column: string }[]).map(({ field, column }) => [field, column]))
  const texts: string[] = JSON.parse(raw)
  const isKey = (JSON.parse(keys) as string[]).map(
    (field, i) => `${quoteIdentifier(columns.get(field) ?? field)} = ${quoteLiteral(texts[i] as string)}`,
  )
  await sql.query(`delete from ${captured.source} where ${isKey.join(' and ')}`)
  return true
}

/** For transactions that were open when it began, in milliseconds: less than a session may be idle in its transaction. */
const PATIENCE = 8000
