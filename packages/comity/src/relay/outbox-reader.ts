import { Horizon, readHorizon } from '../outbox/horizon.ts'
import { REGISTRATION_MARK } from '../outbox/registration-mark.ts'
import type { Queryable } from '../postgres/database.ts'
import { Gaps } from './gaps.ts'

export interface OutboxRow {
  readonly id: number
  readonly topic: string
  readonly key: string
  /** `erased`: an event that was erased before it was sent, and is not sent. */
  readonly kind: 'created' | 'updated' | 'deleted' | 'event' | 'erased'
  readonly tenant: string | null
  readonly payload: string | null
  /** JSON object of strings: `traceparent` and the like; `withheld` where the owner's side knew already. */
  readonly headers: string | null
  /** Our own `publish` has validated the payload. */
  readonly checked: boolean
  /** RFC 3339, UTC, microseconds. */
  readonly time: string
}

/** What one read returned: the smallest unsent versions. */
export interface OutboxRead {
  readonly rows: readonly OutboxRow[]
  /** Whether that was everything visible; if not, read on. */
  readonly complete: boolean
  /** Of the registrations that these rows may be of; undefined where there are none. */
  readonly registrationMark: string | undefined
}

/*
 * One statement, one snapshot: the known gaps together with what follows the last version, by id. Reading the gaps and
 * the rest under two snapshots would invert a key (measured). A bitmap or hash plan over the gaps would read whole
 * leaves, so each gap is an index scan of its own (lateral). Bytes count too: a row is read while those before it have less
 * than $5, so that two batches always fit into memory; a size is known without reading the value (TOAST). The first row says
 * what was registered when all of them were read.
 */
const READ = `
  select id::text as id, topic, key, kind, tenant, payload, headers, checked, coalesce(bytes, 0)::int as bytes,
         to_char(time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time,
         case when place = 1 then ${REGISTRATION_MARK} end as mark
  from (
    select unsent.*, sum(octet_length(payload)) over by_id as bytes, row_number() over by_id as place
    from (
      select o.* from unnest($1::text::bigint[], $2::text::bigint[]) g(lo, hi)
        cross join lateral (select * from comity.outbox where id between g.lo and g.hi order by id limit $4::int) o
      union all
      (select * from comity.outbox where id > $3::text::bigint order by id limit $4::int)
      order by id
      limit $4::int
    ) unsent
    window by_id as (order by id rows unbounded preceding)
  ) measured
  where coalesce(bytes, 0) - coalesce(octet_length(payload), 0) < $5::int
  order by measured.id`

/** Of one read, in bytes of payload as stored: two reads are in memory at a time, each of them longer by one row at most. */
const BATCH_BYTES = 4_000_000

/**
 * Reads the outbox eagerly and yet knows what is complete: every visible row that it has not returned is returned by the
 * next read, in order of version, and `settled` is a version at or below which nothing can appear any more.
 */
export class OutboxReader {
  readonly #database: Queryable
  readonly #gaps = new Gaps()
  readonly #horizon = new Horizon()
  #last = 0
  #settled = 0
  #identity: string | undefined

  constructor(database: Queryable) {
    this.#database = database
  }

  /** Everything at or below it was returned by a read, or does not exist. */
  get settled(): number {
    return this.#settled
  }
  /** Whether there is something between the settled version and the last one read. */
  get unsettled(): boolean {
    return this.#settled < this.#last
  }
  /** Versions that are drawn but not seen: ranges for `status`. */
  get gaps(): number {
    return this.#gaps.ranges.length
  }

  /** Starts over from a durable checkpoint. */
  reset(checkpoint: number): void {
    this.#gaps.clear()
    this.#horizon.discard()
    this.#last = checkpoint
    this.#settled = checkpoint
    this.#identity = undefined
  }

  async read(limit: number): Promise<OutboxRead> {
    const ended = this.#horizon.ended
    const { rows } = await this.#database.query<Omit<OutboxRow, 'id'> & { id: string; bytes: number; mark: string | null }>(READ, [
      `{${this.#gaps.ranges.map((range) => range.lo).join(',')}}`,
      `{${this.#gaps.ranges.map((range) => range.hi).join(',')}}`,
      String(this.#last),
      limit,
      BATCH_BYTES,
    ])
    const complete = rows.length < limit && (rows.at(-1)?.bytes ?? 0) < BATCH_BYTES
    // In place: copies of a thousand rows would be a good part of this process's work.
    const read = rows.map((row) => Object.assign(row, { id: Number(row.id) }))
    for (const { id } of read) {
      if (id > this.#last) {
        this.#gaps.append(this.#last + 1, id - 1)
        this.#last = id
      } else {
        this.#gaps.remove(id)
      }
    }
    // The rows are the smallest unsent ones: everything up to the last of them was returned.
    if (ended !== undefined && (complete || (read.at(-1)?.id ?? 0) >= ended)) this.#settle()
    return { rows: read, complete, registrationMark: rows[0]?.mark ?? undefined }
  }

  /** Looks at the running transactions. Answers false when the database has begun another life: reset, and start over. */
  async observe(): Promise<boolean> {
    const reading = await readHorizon(this.#database)
    this.#identity ??= reading.identity
    if (this.#identity !== reading.identity) return false
    if (reading.hi > this.#settled) this.#horizon.observe(reading)
    return true
  }

  #settle(): void {
    const settled = this.#horizon.settle() as number
    this.#gaps.removeUpTo(settled)
    this.#settled = settled
    this.#last = Math.max(this.#last, settled)
  }
}
