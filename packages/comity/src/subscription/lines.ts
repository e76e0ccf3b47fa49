import type { Clock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { LinePaused, NothingWaits, type Wanted } from './errors.ts'
import { UNFIT } from './failure.ts'
import { type LineRun, type LineRunner, runHeld } from './line-run.ts'
import type { Pace } from './pace.ts'
import type { TenantShares } from './tenant-shares.ts'

export interface LinesOptions<Tx> {
  readonly subscription: string
  readonly database: Queryable
  /** For a tenant's lines in one lane, in its turn; null = of none. */
  readonly runner: (lane: number, signal: AbortSignal, tenant: string | null) => LineRunner<Tx>
  readonly retry: (key: string, signal: AbortSignal) => Promise<LineRun>
  readonly shares: TenantShares
  readonly pace: Pace
  readonly clock: Clock
  readonly arrived?: (wanted: Required<Wanted>) => Promise<boolean | undefined>
}

const DUE = `
  select key, wants, next_at <= clock_timestamp() as due from comity.waiting_keys
  where subscription = $1::text and reason = 'not-yet' and (next_at <= clock_timestamp() or wants is not null) order by tried_at limit $2::int`
const HELD_LANES = `
  select distinct lane, tenant from comity.waiting_keys k
  where subscription = $1::text and reason in ('paused', 'overflow') and lane is not null
    and not exists (select from comity.pauses p where p.subscription in (k.subscription, '') and p.tenant in ('', k.tenant))`

/* Parked because their head did not fit: a process with other code may be able to read it. Times overlap, for a transaction may commit late. */
const UNREAD = `
  select key, message, tried_at::text as tried from comity.waiting_keys
  where subscription = $1::text and reason = 'parked' and ${UNFIT} and tried_at > $2::text::timestamptz - interval '10 s'
  order by tried_at limit $3::int`

/** The lines of one subscription that go on without an operator. */
export class Lines<Tx = unknown> {
  readonly #options: LinesOptions<Tx>
  /** Heads that this process could not read. */
  readonly #unreadable = new Set<string>()
  #seenUntil = '-infinity'
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(options: LinesOptions<Tx>) {
    this.#options = options
  }

  /** Runs every line whose head waits for something, where that has arrived or is worth another try. @returns messages that ended */
  async runNotYet(signal: AbortSignal): Promise<number> {
    const { subscription, database, retry } = this.#options
    const { rows } = await database.query<{ key: string; wants: string | null; due: boolean }>(DUE, [subscription, MOST_LINES])
    let ran = 0
    for (const { key, wants, due } of rows) {
      if (signal.aborted) break
      const arrived = wants === null ? undefined : await this.#options.arrived?.(JSON.parse(wants) as Required<Wanted>)
      if (!(arrived ?? due)) continue
      try {
        ran += (await retry(key, signal)).ran
      } catch (error) {
        // Another process was faster, or it was paused.
        if (!(error instanceof NothingWaits || error instanceof LinePaused)) throw error
      }
    }
    return ran
  }

  /** This process has parked a message that it can't read. */
  unreadable(key: string, message: string): void {
    // Then some are tried once more.
    if (this.#unreadable.size >= MOST_REMEMBERED) this.#unreadable.clear()
    this.#unreadable.add(`${key}\n${message}`)
  }

  /** What could not be read may be readable now. */
  forget(): void {
    this.#unreadable.clear()
    this.#seenUntil = '-infinity'
    this.#lookedAt = Number.NEGATIVE_INFINITY
  }

  /**
   * Tries each line once that a process with other code has parked because its head did not fit the contract: so what an older version could
   * not read goes on when a newer one starts, and the other way round. @returns messages that ended
   */
  async runUnread(signal: AbortSignal): Promise<number> {
    const { subscription, database, retry, clock } = this.#options
    if (clock.monotonic() < this.#lookedAt + LOOK_EVERY) return 0
    const { rows } = await database.query<{ key: string; message: string; tried: string }>(UNREAD, [
      ...[subscription, this.#seenUntil],
      MOST_LINES,
    ])
    // A full page: there are more.
    if (rows.length < MOST_LINES) this.#lookedAt = clock.monotonic()
    let ran = 0
    for (const { key, message, tried } of rows) {
      if (signal.aborted) break
      this.#seenUntil = tried
      if (this.#unreadable.has(`${key}\n${message}`)) continue
      this.unreadable(key, message)
      try {
        ran += (await retry(key, signal)).ran
      } catch (error) {
        if (!(error instanceof NothingWaits || error instanceof LinePaused)) throw error
      }
    }
    return ran
  }

  /** Goes on with what was held for a pause that is over or to make room, tenants in turn. @returns messages that ended */
  async runHeld(signal: AbortSignal): Promise<number> {
    const { subscription, database, runner, shares, pace } = this.#options
    const { rows } = await database.query<{ lane: number; tenant: string | null }>(HELD_LANES, [subscription])
    const tenants = new Map<string | null, { readonly lane: number }[]>()
    for (const row of shuffled(rows)) tenants.set(row.tenant, [...(tenants.get(row.tenant) ?? []), row])
    let ran = 0
    while (tenants.size > 0 && !signal.aborted) {
      for (const [tenant, lanes] of tenants) {
        const next = lanes.pop()
        if (next === undefined) tenants.delete(tenant)
        else {
          const most = shares.take(tenant ?? undefined, Math.min(MOST_HELD, pace.batch))
          if (most > 0) ran += await runHeld(runner(next.lane, signal, tenant), tenant, most)
        }
        if (signal.aborted) break
      }
    }
    return ran
  }
}

/** So that several processes begin at different lanes. */
function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => [Math.random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item)
}

/** Between two looks for lines of runUnread, in milliseconds. */
const LOOK_EVERY = 2000
const MOST_REMEMBERED = 10_000
/** Lines in one turn of runNotYet and runUnread. */
const MOST_LINES = 100
/** Messages in one transaction of runHeld: few, for the lane's live messages wait behind it. */
const MOST_HELD = 20
