import { type ContractDescription, keyOf } from '@comity/contract'
import type { CopyingHandler, Heard } from '../control/copying-channel.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import { copyStatements } from '../replica/copy-statements.ts'
import { keptOf } from '../replica/subset.ts'
import type { Validator } from '../schema/index.ts'
import type { Permit } from '../subscription/permits.ts'
import type { DeliveryResult } from '../transport/transport.ts'
import { CHUNK, type Chunk } from './contracts.ts'
import { fillRows } from './fill-rows.ts'
import { filledTables } from './filled-tables.ts'

/* The row is locked for the whole transaction: two processes that got the same chunks apply them one after the other. */
const JOB = `
  select j.state, j.why, j.term::text as term, j.version::text as version, j.part, j.parts, j.follows::text as follows,
    exists (select from comity.pauses p where p.subscription in (j.replica, '') and p.tenant = '') as paused,
    (select json_agg(p.tenant)::text from comity.pauses p where p.subscription in (j.replica, '') and p.tenant <> '') as tenants
  from comity.asked_backfills j where j.id = $1::text::uuid and j.replica = $2::text for update of j`
/* Every transaction that consumes holds the rows of its lanes; these rows are of all of them. In one order: two of these never cross. */
const LOCK_LANES = 'select 1 from comity.lanes where subscription = $1::text order by lane for update'
const LEFT = `
  insert into comity.backfill_left (replica, key, why, reason)
  select $1::text, l.key, $3::text, $4::text from unnest($2::text::text[]) l(key) on conflict (replica, key) do update set why = excluded.why, reason = excluded.reason`
/* It hears nothing else meanwhile; so its owner need not be asked whether it is there. */
const WAITS = `
  update comity.asked_backfills set reason = $2::text, ask_at = clock_timestamp() + interval '30 seconds' where id = $1::text::uuid`
/* "Sent" may have been heard before: what is under way to this process beside a chunk that has to wait passes it. */
const ALL_HERE = `(owner_state is not distinct from 'sent' and last_version = $3::text::bigint and $4::int = $5::int)`
const SAVE = `
  update comity.asked_backfills set state = case when state = 'asking' and not ${ALL_HERE} then 'filling' when ${ALL_HERE} then 'settling' else state end,
    filled_at = case when ${ALL_HERE} then coalesce(filled_at, clock_timestamp()) else filled_at end, owner_state = coalesce(owner_state, 'running'),
    term = $2::text::bigint, version = $3::text::bigint, part = $4::int, parts = $5::int, follows = $6::text::bigint,
    rows = rows + $7::int, applied = applied + $8::int, withheld = withheld + $9::int, refused = refused + $10::int,
    began_at = coalesce(began_at, clock_timestamp()), moved_at = clock_timestamp(), reason = null, asks = 0, ask_at = clock_timestamp() + interval '30 seconds'
  where id = $1::text::uuid`

interface JobRow {
  readonly state: string
  readonly why: string
  readonly term: string
  readonly version: string
  readonly part: number
  readonly parts: number
  readonly follows: string
  readonly paused: boolean
  /** Those that are paused, as a JSON array; null: none. */
  readonly tenants: string | null
}

/** How far a copy is in the chain of its chunks. */
export type Position = Pick<Chunk, 'term' | 'version' | 'part' | 'parts' | 'follows'>

/**
 * What a chunk is to a copy that is so far:
 *
 *   next      the next part of its stretch, or the first part of the stretch after it
 *   instead   the first part of a stretch that takes the place of the last one: its owner's worker ended before it had saved that
 *   repeated  known already, or of a worker that has lost its lease
 *   early     something before it has not come yet
 */
export function placeOf(chunk: Position, last: Position): 'next' | 'instead' | 'repeated' | 'early' {
  if (chunk.term === last.term && chunk.version === last.version)
    return chunk.part === last.part + 1 ? 'next' : chunk.part <= last.part ? 'repeated' : 'early'
  // In one term versions only grow.
  if (chunk.term < last.term || (chunk.term === last.term && chunk.version < last.version)) return 'repeated'
  if (chunk.part === 1 && chunk.follows === last.version && last.part === last.parts) return 'next'
  return chunk.part === 1 && chunk.follows === last.follows && last.version > 0 ? 'instead' : 'early'
}

/** Applies the chunks of one copy: rows and place in one transaction. */
export function chunkApplier(options: {
  readonly replica: string
  readonly entity: ContractDescription
  readonly database: Database
  readonly validator: Validator
  readonly permit: Permit
  readonly onApplied: (keys: readonly string[]) => void
}): CopyingHandler<Chunk> {
  const { replica, entity, database, validator, permit, onApplied } = options
  const statements = copyStatements()

  async function applied(
    sql: Queryable,
    { id, version, withheld, states }: Chunk,
    why: string,
  ): Promise<{ keys: string[]; count: number; refused: number }> {
    const copy = await statements.of(sql, replica)
    const keys: string[] = []
    const good: Chunk['states'][number][] = []
    let refused = 0
    for (const state of states) {
      const problem = validator.validate(state)
      let key: string | undefined
      try {
        key = keyOf(entity, state)
      } catch {
        // It stays nameless: nothing here has such a key.
      }
      if (problem === undefined && key !== undefined) {
        keys.push(key)
        good.push(state)
        continue
      }
      refused++
      if (key !== undefined)
        await sql.query(LEFT, [replica, arrayLiteral([key]), 'refused', problem && `${problem.path} ${problem.message}`])
    }
    if (withheld.length > 0) await sql.query(LEFT, [replica, arrayLiteral(withheld), 'withheld', `backfill ${id}`])
    if (keys.length === 0) return { keys, count: 0, refused }
    // An owner of an older version says every row. What is outside of the subset was in no chunk, then: it goes when the backfill settles.
    const kept = await keptOf(sql, copy.subset, JSON.stringify(good))
    const rows = { replica, version, keys: keys.filter((_, i) => kept(i)), states: good.filter((_, i) => kept(i)) }
    let count = 0
    for (const table of filledTables(copy, why)) count = await fillRows(sql, table, rows)
    return { keys, count, refused }
  }

  /**
   * One of these that has rows in it. Nothing of a paused tenant moves, so its chunk waits, and with it those that follow: they are a
   * chain. The waiting lines hold messages of the live topic, and no rows.
   */
  function tenantIn({ states }: Chunk, tenants: ReadonlySet<string>): string | undefined {
    const field = entity.tenantField
    if (field === undefined) return undefined
    const found = states.find((state) => tenants.has(String(state[field])))
    return found && String(found[field])
  }

  /** One transaction for as many as fit; answers how many of them have ended. */
  async function apply(chunks: readonly Chunk[]): Promise<readonly DeliveryResult[]> {
    const first = chunks[0] as Chunk
    const done: string[] = []
    const results = await permit(() =>
      database.transaction(async (tx): Promise<DeliveryResult[]> => {
        const sql = database.join(tx)
        const { rows } = await sql.query<JobRow>(JOB, [first.id, replica])
        const job = rows[0]
        // Cancelled, or one that this team does not know (any more).
        if (job === undefined || !['asking', 'filling'].includes(job.state)) return chunks.map(() => 'ack')
        if (job.paused) {
          await sql.query(WAITS, [first.id, `${replica} is paused here`])
          return ['later']
        }
        const pausedTenants = new Set(JSON.parse(job.tenants ?? '[]') as string[])
        let last: Position = { ...job, term: Number(job.term), version: Number(job.version), follows: Number(job.follows) }
        const answers: DeliveryResult[] = []
        const sums = { rows: 0, applied: 0, withheld: 0, refused: 0 }
        for (const chunk of chunks) {
          const place = placeOf(chunk, last)
          const paused = pausedTenants.size === 0 || place === 'repeated' ? undefined : tenantIn(chunk, pausedTenants)
          if (paused !== undefined) await sql.query(WAITS, [first.id, `the tenant ${paused} is paused here`])
          if (place === 'early' || paused !== undefined) {
            answers.push('later')
            break
          }
          answers.push('ack')
          if (place === 'repeated') continue
          if (sums.rows === 0) await sql.query(LOCK_LANES, [replica])
          const one = await applied(sql, chunk, job.why)
          done.push(...one.keys)
          sums.rows += chunk.states.length
          sums.applied += one.count
          sums.withheld += chunk.withheld.length
          sums.refused += one.refused
          last = chunk
        }
        if (answers.length === 1 && answers[0] === 'later') return answers
        await sql.query(SAVE, [
          ...[first.id, String(last.term), String(last.version), last.part, last.parts, String(last.follows)],
          ...[sums.rows, sums.applied, sums.withheld, sums.refused],
        ])
        return answers
      }),
    )
    if (done.length > 0) onApplied(done)
    return results
  }

  return {
    contract: CHUNK,
    async handle(messages: readonly Heard<Chunk>[]) {
      if (messages[0]?.replica !== replica) return ['ack']
      const id = messages[0].data.id
      const others = messages.findIndex((message) => message.replica !== replica || message.data.id !== id)
      return apply(messages.slice(0, others < 0 ? AT_ONCE : Math.min(others, AT_ONCE)).map(({ data }) => data))
    },
  }
}

/** Chunks of a transaction: live changes of the copy wait for it. */
const AT_ONCE = 2
