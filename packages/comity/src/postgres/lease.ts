import { type Clock, systemClock } from '../foundation/clock.ts'
import { type Duration, parseDuration } from '../foundation/duration.ts'
import type { Queryable } from './database.ts'
import { LeaseLost } from './errors.ts'

/**
 * Leadership by a row with a term:
 *
 *     create table comity.leases (name text primary key, holder text, term bigint not null, expires_at timestamptz not null)
 *
 *                        another holder's row, unexpired
 *                      ┌───────────── undefined ◀──────────┐
 *   acquireLease ──────┤                                   │ (ask again later)
 *                      └── no row, expired, or our own ──▶ held ── renew ──▶ held
 *                                                           │
 *                 release, own clock ran out, row says other ──▶ lost (for good: acquire anew, the term is higher)
 *
 * - Two clocks, never compared: the database's decides when others may take the row; the holder's monotonic one decides
 *   when it must stop. The holder counts from *before* it asked, and stops a tenth earlier, so it stops first.
 * - Database unreachable: `renew` rejects, the lease stays held until the holder's own clock runs out, then the signal aborts.
 * - Process stopped (SIGSTOP, a blocked event loop) past the end: the signal aborts late, but `validFor()` is 0 at once.
 *   Ask it right before each act, and let each write carry the term, as neither can reach what is already on its way.
 * - Holder dies: nobody has to notice; the row expires. No session advisory locks: a stopped process keeps them, poolers leak them.
 * - The term never falls: release keeps the row, and every acquisition adds one, also by the same holder.
 */
export interface Lease extends AsyncDisposable {
  readonly name: string
  readonly holder: string
  readonly term: number
  /** Aborts when the lease is lost or released; its reason is a COMITY_LEASE_LOST. */
  readonly signal: AbortSignal
  /** Milliseconds for which the holder may go on acting; 0 when lost. */
  validFor(): number
  /** True: held for the full duration again. False: lost. Rejects, still held, when the database does not answer. */
  renew(): Promise<boolean>
  /** Gives it up at once for others to take. Idempotent. */
  release(): Promise<void>
}

export interface LeaseOptions {
  readonly name: string
  /** Unique per process and start: who holds the row may take it again at once. */
  readonly holder: string
  readonly duration: Duration
  /** Quoted as SQL wants it. Default `comity.leases`. */
  readonly table?: string
  readonly clock?: Clock
}

/** The lease, or undefined while another holder has it. */
export async function acquireLease(database: Queryable, options: LeaseOptions): Promise<Lease | undefined> {
  const { name, holder, table = 'comity.leases', clock = systemClock } = options
  const duration = parseDuration(options.duration, 'lease.duration')
  const asked = clock.monotonic()
  const { rows } = await database.query<{ term: string }>(
    `insert into ${table} as held (name, holder, term, expires_at)
     values ($1::text, $2::text, 1, clock_timestamp() + $3::text::interval)
     on conflict (name) do update set holder = excluded.holder, term = held.term + 1, expires_at = excluded.expires_at
     where held.expires_at <= clock_timestamp() or held.holder = excluded.holder
     returning term::text`,
    [name, holder, `${duration} ms`],
  )
  const term = rows[0]?.term
  return term === undefined ? undefined : heldLease(database, { name, holder, table, clock, duration, term: Number(term), asked })
}

interface Held {
  readonly name: string
  readonly holder: string
  readonly table: string
  readonly clock: Clock
  readonly duration: number
  readonly term: number
  /** The holder's clock before it asked. */
  readonly asked: number
}

function heldLease(database: Queryable, held: Held): Lease {
  const { name, holder, table, clock, term } = held
  const length = held.duration * 0.9
  const own = [name, holder, String(term)]
  const lost = new AbortController()
  let end = held.asked + length

  function lose(reason: string): void {
    if (!lost.signal.aborted) lost.abort(new LeaseLost({ name, term, reason }))
  }
  function validFor(): number {
    if (!lost.signal.aborted && clock.monotonic() >= end) lose('it ran out on the clock of its holder')
    return lost.signal.aborted ? 0 : end - clock.monotonic()
  }
  async function watch(): Promise<void> {
    for (let left = validFor(); left > 0; left = validFor()) await clock.sleep(left, lost.signal)
  }
  async function renew(): Promise<boolean> {
    if (validFor() === 0) return false
    const asked = clock.monotonic()
    const { rows } = await database.query(
      `update ${table} set expires_at = clock_timestamp() + $4::text::interval
       where name = $1::text and holder = $2::text and term = $3::text::bigint returning name`,
      [...own, `${held.duration} ms`],
    )
    if (rows.length === 0) lose('another holder has taken it')
    // An answer that came after the end changes nothing: what depended on the lease has stopped.
    if (validFor() === 0) return false
    end = Math.max(end, asked + length)
    return true
  }
  let released: Promise<void> | undefined
  function release(): Promise<void> {
    released ??= giveUp() // whoever asks again waits for the same answer: then the connection may go
    return released
  }
  async function giveUp(): Promise<void> {
    if (lost.signal.aborted) return
    lose('it was released')
    await database.query(
      `update ${table} set holder = null, expires_at = '-infinity'
       where name = $1::text and holder = $2::text and term = $3::text::bigint`,
      own,
    )
  }

  void watch()
  return { name, holder, term, signal: lost.signal, validFor, renew, release, [Symbol.asyncDispose]: release }
}
