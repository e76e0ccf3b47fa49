import type { ContractDescription } from '@comity/contract'
import type { CopyingHandler, Heard } from '../control/copying-channel.ts'
import type { Database } from '../postgres/database.ts'
import type { Permit } from '../subscription/permits.ts'
import type { DeliveryResult } from '../transport/transport.ts'
import { CHUNK, type Chunk } from './contracts.ts'
import type { CopyReader } from './copy-reader.ts'
import { chunkFiller } from './filled-chunk.ts'

/* The row is locked for the whole transaction: two processes that got the same chunks apply them one after the other. */
const JOB = `
  select j.state, j.why, j.term::text as term, j.version::text as version, j.part, j.parts, j.follows::text as follows,
    exists (select from comity.pauses p where p.subscription in (j.replica, '') and p.tenant = '') as paused,
    (select json_agg(p.tenant)::text from comity.pauses p where p.subscription in (j.replica, '') and p.tenant <> '') as tenants
  from comity.asked_backfills j where j.id = $1::text::uuid and j.replica = $2::text for update of j`
/* Every transaction that consumes holds the rows of its lanes; these rows are of all of them. In one order: two of these never cross. */
const LOCK_LANES = 'select 1 from comity.lanes where subscription = $1::text order by lane for update'
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
  readonly reads: CopyReader
  readonly permit: Permit
  readonly onApplied: (keys: readonly string[]) => void
}): CopyingHandler<Chunk> {
  const { replica, entity, reads, database, permit, onApplied } = options
  const filler = chunkFiller(replica, entity, reads)

  /** One transaction for as many as fit; answers how many of them have ended. */
  async function apply(chunks: readonly Chunk[], after: Chunk | undefined): Promise<readonly DeliveryResult[]> {
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
        for (const [i, chunk] of chunks.entries()) {
          const place = placeOf(chunk, last)
          // Nothing of a paused tenant moves, so its chunk waits, and with it those that follow: they are a chain. The waiting lines hold messages of the live topic, and no rows.
          const paused = pausedTenants.size === 0 || place === 'repeated' ? undefined : filler.tenantIn(chunk, pausedTenants)
          if (paused !== undefined) await sql.query(WAITS, [first.id, `the tenant ${paused} is paused here`])
          if (place === 'early' || paused !== undefined) {
            answers.push('later')
            break
          }
          answers.push('ack')
          if (place === 'repeated') continue
          if (sums.rows === 0) await sql.query(LOCK_LANES, [replica])
          const filled = await filler.fill(sql, chunk, job.why, chunks[i + 1] ?? after)
          done.push(...filled.keys)
          sums.rows += filled.rows
          sums.applied += filled.applied
          sums.withheld += chunk.withheld.length
          sums.refused += filled.refused
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
      const chunks = messages.slice(0, others < 0 ? AT_ONCE : Math.min(others, AT_ONCE)).map(({ data }) => data)
      return apply(chunks, messages[chunks.length]?.data)
    },
  }
}

/** Chunks of a transaction: live changes of the copy wait for it. */
const AT_ONCE = 2
