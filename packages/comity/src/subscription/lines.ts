import type { Queryable } from '../postgres/database.ts'
import { LinePaused, NothingWaits, type Wanted } from './errors.ts'
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
  readonly arrived?: (wanted: Required<Wanted>) => Promise<boolean | undefined>
}

const DUE = `
  select key, wants, next_at <= clock_timestamp() as due from comity.waiting_keys
  where subscription = $1::text and reason = 'not-yet' and (next_at <= clock_timestamp() or wants is not null) order by tried_at limit $2::int`
const HELD_LANES = `
  select distinct lane, tenant from comity.waiting_keys k
  where subscription = $1::text and reason in ('paused', 'overflow') and lane is not null
    and not exists (select from comity.pauses p where p.subscription in (k.subscription, '') and p.tenant in ('', k.tenant))`

/** The lines of one subscription that go on without an operator. */
export class Lines<Tx = unknown> {
  readonly #options: LinesOptions<Tx>

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

/** Lines in one turn of runNotYet. */
const MOST_LINES = 100
/** Messages in one transaction of runHeld: few, for the lane's live messages wait behind it. */
const MOST_HELD = 20
