import type { SubsetCondition } from '../catalog/declaration.ts'
import { type CopyingSpeaker, JsonText, sayAboutCopy } from '../control/copying-channel.ts'
import { copyTopic } from '../control/copying-topics.ts'
import {
  type Clock,
  type Duration,
  type Logger,
  type Loop,
  logEvent,
  loop,
  parseDuration,
  silentLogger,
  systemClock,
} from '../foundation/index.ts'
import { drawAndWait, type Holder } from '../outbox/consistent-read.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { describeError } from '../postgres/index.ts'
import { acquireLease, type Lease } from '../postgres/lease.ts'
import { Rate } from '../subscription/rate.ts'
import { type Parts, partsOf, type StretchPart } from './chunks.ts'
import { CHUNK, CHUNK_ROWS } from './contracts.ts'
import { BackfillRefused } from './errors.ts'
import { Latency } from './latency.ts'
import { tellState } from './owner-states.ts'
import { type PublishedEntity, publishedEntity } from './published-entity.ts'

/**
 * The owner's side: one process of the team says to the copies that have asked what holds now, stretch by stretch, in turns.
 *
 *   waiting ──taken──▶ running ──the last row was read──▶ sent ──its marks are sent──▶ done
 *                       ⇅ paused                   cancelled, failed: at any time
 *
 * A stretch: draw a version, wait, read what follows the place, send it in parts, **then** save the new place, while the next one is read. Whoever goes on after a crash
 * reads from the saved place again, under a new version: the copy takes the place of a stretch that was sent and not saved.
 */
export interface BackfillWorkerOptions {
  readonly team: string
  readonly database: Queryable
  readonly speaker: CopyingSpeaker
  readonly holder: string
  /** Whether this process may speak for the team; the copy of a live database says nothing. */
  readonly mayRun: () => boolean
  /** Everything of one was sent. */
  readonly onSent: () => void
  /** Rows a second of all backfills together; undefined: no limit. */
  readonly rate?: number | undefined
  /** Milliseconds that a small statement of the owner's may take, before backfills make room. */
  readonly latency: number
  /** How long the team's other processes wait before one of them goes on instead of one that died. */
  readonly lease: Duration
  /** Rows of a stretch at most. Default 4000. */
  readonly batch?: number
  readonly clock?: Clock
  readonly logger?: Logger
}

interface Job {
  readonly id: string
  readonly asked_by: string
  readonly replica: string
  readonly entity: string
  readonly audience: string | null
  readonly fields: string
  readonly subset: string | null
  readonly place: string | null
  readonly first: string
  readonly last: string
  readonly rate: string | null
}

/** Where a stretch begins: behind this place, after the stretch of this version. */
interface Follows {
  readonly place: string | null
  readonly last: number
}
interface Stretch {
  readonly version: number
  readonly rows: number
  readonly place: string | null
  readonly parts: Parts
  readonly isLast: boolean
}
interface Reading {
  readonly read: readonly StretchPart[]
  readonly parts: Parts | undefined
}
interface Ahead {
  readonly follows: Follows
  readonly term: number
  readonly read: Promise<Stretch | undefined>
}

/* The state is asked for twice: of a row that is paused meanwhile only what is outside of the subselect is looked at again. */
const NEXT = `
  update comity.backfills b set state = 'running', term = $2::text::bigint, began_at = coalesce(b.began_at, clock_timestamp())
  where b.id = (
    select o.id from comity.backfills o where o.state in ('waiting', 'running') and o.term <= $2::text::bigint and not o.id::text = any ($1::text::text[])
    order by o.moved_at nulls first, o.asked_at limit 1)
    and b.state in ('waiting', 'running')
  returning b.id::text as id, b.asked_by, b.replica, b.entity, b.audience, b.fields::text as fields, b.subset::text as subset, b.place::text as place,
    b.first_version::text as first, b.last_version::text as last, b.rate::text as rate`
const SAVE = `
  update comity.backfills set place = coalesce($3::text::jsonb, place), first_version = case when first_version = 0 then $4::text::bigint else first_version end,
    last_version = $4::text::bigint, rows = rows + $5::int, withheld = withheld + $6::int, bytes = bytes + $7::text::bigint,
    state = case when state = 'running' and $8::int = 1 then 'sent' else state end, waits_for = null, error = null, moved_at = clock_timestamp()
  where id = $1::text::uuid and term = $2::text::bigint and state in ('running', 'paused') returning state`
const STUMBLED = `
  update comity.backfills set error = $3::text, waits_for = $4::text::jsonb, state = coalesce($5::text, state),
    ended_at = case when $5::text is null then ended_at else clock_timestamp() end
  where id = $1::text::uuid and term = $2::text::bigint and state = 'running'`
const PARTS = `
  select rows, bytes, place, keys, states, withheld, cells, kinds
  from comity.backfill_parts($1::text, $2::text::text[], $3::int, $4::int, $5::int, $6::text::jsonb, $7::text::text[])`

/** Bytes of states in a stretch, before their fields are picked. */
const STRETCH_BYTES = 4_000_000

export function backfillWorker(options: BackfillWorkerOptions): Loop {
  const { team, database, speaker, holder, mayRun, clock = systemClock, logger = silentLogger } = options
  const total = options.rate === undefined ? undefined : new Rate(options.rate, clock)
  const rates = new Map<string, Rate>()
  const latency = new Latency(options.latency, clock)
  /** Of this leadership: when a job that failed may be tried again. */
  const resting = new Map<string, number>()
  const renewBelow = parseDuration(options.lease, 'backfill.lease') * 0.6
  /** The next stretch of each job, while the one before it is sent. */
  const ahead = new Map<string, Ahead>()
  let lease: Lease | undefined

  async function runOnce(signal: AbortSignal): Promise<'busy' | 'idle'> {
    if (!mayRun()) return 'idle'
    const held = await leads()
    if (held === undefined) return 'idle'
    for (const [id, until] of resting) if (until <= clock.monotonic()) resting.delete(id)
    const { rows } = await database.query<Job>(NEXT, [arrayLiteral([...resting.keys()]), String(held.term)])
    const job = rows[0]
    if (job === undefined) return 'idle'
    try {
      await stretch(job, held, signal)
    } catch (error) {
      if (signal.aborted) return 'idle'
      await stumble(job, held, error)
    }
    return 'busy'
  }

  /** Sends one stretch and saves its place, while the next one is read. */
  async function stretch(job: Job, held: Lease, signal: AbortSignal): Promise<void> {
    const ready = ahead.get(job.id)
    ahead.delete(job.id)
    const follows = { place: job.place, last: Number(job.last) }
    const stretch =
      ready !== undefined && ready.follows.last === follows.last && ready.term === held.term
        ? await ready.read
        : await read(job, follows, held, signal)
    if (stretch === undefined) return
    if (!stretch.isLast) readAhead(job, { place: stretch.place, last: stretch.version }, held, signal)
    // As long as a send may take, nobody else begins.
    if (held.validFor() < renewBelow && !(await held.renew())) return
    await sayAboutCopy(
      speaker,
      copyTopic(job.replica),
      stretch.parts.texts.map((text, i) => ({
        ...{ contract: CHUNK, replica: job.replica, data: new JsonText(text) },
        id: `${job.id}-${stretch.version}-${i + 1}`,
      })),
    )
    const saving = clock.monotonic()
    const { rows: saved } = await database.query<{ state: string }>(SAVE, [
      ...[
        job.id,
        String(held.term),
        stretch.place,
        String(stretch.version),
        stretch.rows,
        stretch.parts.withheld,
        String(stretch.parts.bytes),
      ],
      stretch.isLast ? 1 : 0,
    ])
    latency.observe(clock.monotonic() - saving)
    if (saved[0]?.state === 'sent') {
      options.onSent()
      await tellState(speaker, job.replica, job.id, { state: 'sent', first: Number(job.first) || stretch.version, last: stretch.version })
    }
    await latency.makeRoom(signal)
  }

  /** What follows a place, under a version of its own. Undefined: it is not its turn yet. */
  async function read(job: Job, { place, last }: Follows, held: Lease, signal: AbortSignal): Promise<Stretch | undefined> {
    const wanted = {
      ...{ ...job, from: job.asked_by, audience: job.audience ?? undefined, fields: JSON.parse(job.fields) as string[] },
      subset: job.subset === null ? undefined : (JSON.parse(job.subset) as SubsetCondition[]),
    }
    const most = await allowed(job, signal)
    if (most === 0) return undefined
    const version = await drawAndWait(database, {
      signal,
      clock,
      async onWaiting(holders: readonly Holder[]) {
        await held.renew()
        await database.query(STUMBLED, [job.id, String(held.term), null, JSON.stringify(holders), null])
      },
    })
    const entity: PublishedEntity = await publishedEntity(database, wanted)
    const after = place === null ? null : arrayLiteral((JSON.parse(place) as unknown[]).map(String))
    const stretch = { id: job.id, term: held.term, version, follows: last }
    const behind = async (partRows: number, fields?: readonly string[]): Promise<Reading> => {
      const given = [job.entity, after, most, STRETCH_BYTES, partRows, job.subset, fields === undefined ? null : arrayLiteral(fields)]
      const read = (await database.query<StretchPart>(PARTS, given)).rows
      return { read, parts: partsOf(read, entity, stretch) }
    }
    // The cheapest form first; what is read later is as good for this version.
    let { read, parts } = await behind(CHUNK_ROWS, entity.fields)
    if (parts === undefined && entity.fields !== undefined) ({ read, parts } = await behind(CHUNK_ROWS))
    if (parts === undefined) ({ read, parts } = (await behind(1)) as Required<Reading>)
    await publishedEntity(database, wanted) // what was read may be from after a hand-over: then nothing is said
    const rows = read.reduce((sum, part) => sum + part.rows, 0)
    const bytes = read.reduce((sum, part) => sum + part.bytes, 0)
    giveBack(job, most - rows)
    // Fewer than could be: behind the last one there was nothing, unless the bytes ended it.
    return { version, rows, place: read.at(-1)?.place ?? place, parts: parts as Parts, isLast: rows < most && bytes < STRETCH_BYTES }
  }

  /** It is dropped if what it follows is not saved. */
  function readAhead(job: Job, follows: Follows, held: Lease, signal: AbortSignal): void {
    const reading = read(job, follows, held, signal)
    reading.catch(() => undefined)
    ahead.set(job.id, { follows, term: held.term, read: reading })
  }

  /** How many rows the next stretch may have; 0: it is not its turn yet. Of a slow rate, a second's worth: not row by row. */
  async function allowed(job: Job, signal: AbortSignal): Promise<number> {
    const most = options.batch ?? 4000
    let taken = most
    if (job.rate !== null) {
      const perSecond = Number(job.rate)
      const own = rates.get(job.id) ?? new Rate(perSecond, clock)
      rates.set(job.id, own)
      taken = own.take(most)
      const missing = Math.min(most, perSecond, LEAST) - taken
      if (missing > 0) {
        own.give(taken)
        resting.set(job.id, clock.monotonic() + (missing / perSecond) * 1000)
        return 0
      }
    }
    if (total === undefined || options.rate === undefined) return taken
    const enough = Math.min(taken, options.rate, LEAST)
    for (;;) {
      const granted = total.take(taken)
      if (granted >= enough) {
        rates.get(job.id)?.give(taken - granted)
        return granted
      }
      total.give(granted)
      await clock.sleep(((enough - granted) / options.rate) * 1000 + 1, signal)
      if (signal.aborted) return 0
    }
  }

  function giveBack(job: Job, unused: number): void {
    rates.get(job.id)?.give(unused)
    total?.give(unused)
  }

  async function stumble(job: Job, held: Lease, error: unknown): Promise<void> {
    const reason = describeError(error)
    logEvent(logger, 'comity.backfill.stumbled', { subscription: job.replica, job: job.id, error })
    resting.set(job.id, clock.monotonic() + TRY_AGAIN)
    ahead.delete(job.id)
    const failed = error instanceof BackfillRefused
    await database.query(STUMBLED, [job.id, String(held.term), reason, null, failed ? 'failed' : null])
    if (failed) await tellState(speaker, job.replica, job.id, { state: 'failed', reason })
  }

  async function leads(): Promise<Lease | undefined> {
    if (lease !== undefined && lease.validFor() < renewBelow && !(await lease.renew())) lease = undefined
    if (lease === undefined || lease.validFor() === 0)
      lease = await acquireLease(database, { name: 'backfill', holder, duration: options.lease, clock })
    return lease
  }

  const base = loop({ name: `backfills by ${team}`, poll: { min: 0, max: 1000 }, clock, logger, runOnce })
  const stop = base.stop.bind(base)
  return Object.defineProperties(base, {
    stop: {
      async value() {
        await stop()
        await lease?.release().catch(() => undefined)
      },
    },
  }) as Loop
}

/** After a failure, in milliseconds. */
const TRY_AGAIN = 5000
/** Rows of a stretch at least, where its rate allows it. */
const LEAST = 200
