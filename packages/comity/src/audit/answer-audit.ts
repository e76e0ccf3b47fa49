import { CHUNK_BYTES } from '../backfill/contracts.ts'
import { BackfillRefused } from '../backfill/errors.ts'
import { type PublishedEntity, publishedEntity } from '../backfill/published-entity.ts'
import type { Heard } from '../control/copying-channel.ts'
import type { Clock } from '../foundation/index.ts'
import { drawAndWait, type Holder } from '../outbox/consistent-read.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import { describeError } from '../postgres/classify-error.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import {
  type AuditAnswer,
  type AuditAsked,
  DIGESTS_AT_ONCE,
  type HeldKey,
  type LostRange,
  packDigest,
  packRow,
  ROWS_AT_ONCE,
  type SaidState,
} from './contracts.ts'
import { DigestSums, type SlicedDigest } from './digest-sums.ts'
import type { HashedRow } from './find-suspects.ts'
import { inSlices, type Place, placeLiteral } from './in-slices.ts'

/* $1 to $3 are the same in each: whose rows, which fields of them, and of which subset (null: all). */
const UPTO = `
  select comity.audit_own_upto($1::text, $2::text::jsonb, $3::text::jsonb, $4::text::text[], $5::int) as upto`
const DIGESTS = `
  select bucket, count, a, b
  from comity.audit_own_digests($1::text, $2::text::jsonb, $3::text::jsonb, $4::text, $5::text::text[], $6::text::text[], $7::int, $8::int, $9::text::int[])`
const ROWS = `
  select bucket, key, hash
  from comity.audit_own_rows($1::text, $2::text::jsonb, $3::text::jsonb, $4::text, $5::text::text[], $6::text::text[], $7::int, $8::text::int[])`
const KEYS = `
  select key, hash, moving, withheld, version
  from comity.audit_own_keys($1::text, $2::text::jsonb, $3::text::jsonb, $4::text, $5::text::text[], $6::text::bigint)`
const STATES = `
  select key, case when $3::text is null or withheld is not null or comity.in_subset($3::text::jsonb, state::jsonb) then state end as state, withheld
  from comity.audit_own_states($1::text, $2::text::text[])`
/* Whoever relays says in each bucket of the topic when everything up to this version has been sent. */
const MARK = `
  insert into comity.audit_marks (entity, audience, version) values ($1::text, $2::text, $3::text::bigint)`
const LOST = `
  select last_survived::text as above, first_version::text as below from comity.incarnations order by noticed_at desc limit 50`

export interface AnswerOptions {
  readonly database: Database
  readonly signal: AbortSignal
  readonly onWaiting: (holders: readonly Holder[]) => Promise<void>
  /** Between two slices of its rows. @param worked milliseconds that the one before took */
  readonly between: (worked: number) => Promise<void>
  readonly clock: Clock
}

/**
 * The owner's answer to one question of a copy's audit, in parts that fit into messages. What the asking team was not granted is refused: a
 * digest of a field tells its values to whoever can guess them.
 */
export async function answerAudit({ from, replica, data }: Heard<AuditAsked>, options: AnswerOptions): Promise<readonly AuditAnswer[]> {
  const { database, between, signal, clock } = options
  const { entity, audience, subset, versions, secret, what } = data
  try {
    const names = data.fields.map(({ name }) => name)
    const wanted = { from, replica, entity, audience, fields: names, subset, versions }
    const published = await publishedEntity(database, wanted)
    const condition = published.subset === undefined ? null : JSON.stringify(published.subset)
    // Where the copy lifts, hashes only say what is to be looked at: a row without one of its fields has another one, and is told as a state.
    const fields = published.lifted ? data.fields.filter(({ name }) => published.hasField(name)) : data.fields
    const source = [entity, JSON.stringify(fields), condition]
    const inSlicesOf = <Row>(text: string, values: readonly unknown[], take: (rows: readonly Row[]) => void): Promise<void> =>
      inSlices({
        async upto(after, most) {
          const { rows } = await database.query<{ upto: string | null }>(UPTO, [...source, placeLiteral(after), most])
          return rows[0]?.upto ? (JSON.parse(rows[0].upto) as Place) : undefined
        },
        async look({ after, upto }) {
          take((await database.query<Row>(text, [...source, secret, placeLiteral(after), placeLiteral(upto), ...values])).rows)
        },
        ...{ between, signal, clock },
      })
    switch (what.kind) {
      case 'digests': {
        const { depth, within } = what
        const sums = new DigestSums()
        const values = [depth, within?.depth ?? null, within === undefined ? null : arrayLiteral(within.buckets)]
        await inSlicesOf<SlicedDigest>(DIGESTS, values, (digests) => sums.add(digests))
        return inParts(sums.all(), DIGESTS_AT_ONCE, (some) => ({ kind: 'digests', digests: some.map(packDigest) }))
      }
      case 'rows': {
        const all: HashedRow[] = []
        await inSlicesOf<HashedRow>(ROWS, [what.of.depth, arrayLiteral(what.of.buckets)], (rows) => all.push(...rows))
        return inParts(all, ROWS_AT_ONCE, (some) => ({ kind: 'rows', rows: some.map(packRow) }))
      }
      case 'keys': {
        const version = await drawAndWait(database, options)
        // States first: of a key that is written after that, the next statement says that it is moving.
        const states = await saidStates(database, entity, what.keys, published, condition)
        const held = await heldKeys(database, [...source, secret, arrayLiteral(what.keys), String(version)])
        // What was read may be from after a hand-over: then nothing is said.
        await publishedEntity(database, wanted)
        const keys = withWithheld(held, states)
        await database.query(MARK, [entity, audience ?? null, String(version)])
        const lost = await lostRanges(database)
        if (!published.lifted) return [{ kind: 'keys', version, keys, lost }]
        return bySize(withStates(keys, states)).map((some) => ({ kind: 'keys', version, keys: some, lost }))
      }
      case 'states': {
        const version = await drawAndWait(database, options)
        const states = await saidStates(database, entity, what.keys, published, condition)
        await publishedEntity(database, wanted)
        return bySize(states).map((some) => ({ kind: 'states', version, states: some }))
      }
    }
  } catch (error) {
    if (error instanceof BackfillRefused) return [{ kind: 'refused', reason: describeError(error).split('\n', 1)[0] as string }]
    throw error
  }
}

/** The newest states as the copy gets them. */
async function saidStates(
  sql: Queryable,
  entity: string,
  keys: readonly string[],
  published: PublishedEntity,
  subset: string | null,
): Promise<readonly SaidState[]> {
  const { rows } = await sql.query<StateRow>(STATES, [entity, arrayLiteral(keys), subset])
  return rows.map(({ key, state, withheld }): SaidState => {
    if (state === null && withheld === null) return { key, state: null }
    const said = published.stateOf(state, withheld)
    return 'text' in said ? { key, state: JSON.parse(said.text) } : { key, state: null, withheld: withheld ?? 'it breaks its contract' }
  })
}

/** A row that can't be said need not have been announced: it may be older than Comity. */
function withWithheld(held: readonly HeldKey[], said: readonly SaidState[]): readonly HeldKey[] {
  const withheld = new Map(said.flatMap(({ key, withheld: why }) => (why === undefined ? [] : [[key, why] as const])))
  return held.map((one) => {
    const why = one.withheld ?? withheld.get(one.key)
    return why === undefined ? one : { ...one, withheld: why }
  })
}

function withStates(held: readonly HeldKey[], said: readonly SaidState[]): readonly HeldKey[] {
  const states = new Map(said.map(({ key, state }) => [key, state]))
  return held.map((one) => {
    const state = states.get(one.key) ?? null
    return state === null ? one : { ...one, state }
  })
}

interface StateRow {
  readonly key: string
  readonly state: string | null
  readonly withheld: string | null
}

async function heldKeys(sql: Queryable, values: readonly unknown[]): Promise<readonly HeldKey[]> {
  const { rows } = await sql.query<{
    key: string
    hash: string | null
    moving: boolean
    withheld: string | null
    version: string | null
  }>(KEYS, values)
  return rows.map(({ key, hash, moving, withheld, version }) => ({
    ...{ key, hash },
    ...(moving ? { moving } : {}),
    ...(withheld === null ? {} : { withheld }),
    ...(version === null ? {} : { version: Number(version) }),
  }))
}

async function lostRanges(database: Queryable): Promise<readonly LostRange[]> {
  const { rows } = await database.query<{ above: string; below: string }>(LOST)
  return rows.map(({ above, below }): LostRange => [Number(above), Number(below)])
}

/** At least one part: also nothing is an answer. */
function inParts<Item>(items: readonly Item[], most: number, answerOf: (some: readonly Item[]) => AuditAnswer): readonly AuditAnswer[] {
  const parts: AuditAnswer[] = []
  for (let from = 0; from === 0 || from < items.length; from += most) parts.push(answerOf(items.slice(from, from + most)))
  return parts
}

/** A state may have a megabyte: parts of about as much as a backfill's chunk. */
function bySize<Said>(states: readonly Said[]): readonly (readonly Said[])[] {
  const parts: Said[][] = [[]]
  let bytes = 0
  for (const said of states) {
    const size = JSON.stringify(said).length
    if (bytes > 0 && bytes + size > CHUNK_BYTES) {
      parts.push([])
      bytes = 0
    }
    parts.at(-1)?.push(said)
    bytes += size
  }
  return parts
}
