import { readFileSync } from 'node:fs'
import type { BoundObservation, TroubleObservation } from 'comity/testing'
import type { World } from './world.ts'

/** The worst that was seen of what must stay bounded, and whether a team showed what it knew, looked at twice a second while a run goes on. */
export class Gauges {
  readonly #world: World
  readonly #worst = new Map<string, BoundObservation>()
  readonly #abort = new AbortController()
  readonly #looking: Promise<void>
  /** Each that was seen: `breaker mail.moved`, `operator  a`. */
  readonly pauses: Set<string> = new Set()
  readonly troubles: TroubleObservation[] = []

  constructor(world: World) {
    this.#world = world
    this.#looking = this.#lookOn()
  }

  get bounds(): readonly BoundObservation[] {
    return [...this.#worst.values()]
  }

  note(component: string, of: string, value: number, limit: number): void {
    const before = this.#worst.get(`${component} ${of}`)?.worst ?? 0
    this.#worst.set(`${component} ${of}`, { component, of, worst: Math.max(before, value), limit })
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#looking
  }

  async #lookOn(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      await this.#look()
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
  }

  async #look(): Promise<void> {
    const { pools, processes } = this.#world
    for (const { alive, pid, name } of processes) if (alive) this.note(name, 'memory in MB', memoryOf(pid), MEMORY)
    const connections = await pools.mail.query<{ name: string; count: number }>(
      'select application_name as name, count(*)::int as count from pg_stat_activity where datname = current_database() group by 1',
    )
    for (const { name, count } of connections.rows) if (name.startsWith('mail-')) this.note(name, 'connections', count, CONNECTIONS)
    const window = await pools.shop.query<{ rows: number }>(
      'select count(*)::int as rows from comity.outbox o, comity.checkpoint c where o.id > c.id',
    )
    this.note('shop', 'rows of the outbox above its checkpoint', window.rows[0]?.rows ?? Number.NaN, WINDOW)
    await this.#lookAtPauses()
  }

  /** A pause that stands before and after a look at the team's status is shown there, or known and not shown. */
  async #lookAtPauses(): Promise<void> {
    const pauses = async (): Promise<string[]> => {
      const { rows } = await this.#world.pools.mail.query<{ by: string; subscription: string; tenant: string }>(
        'select by, subscription, tenant from comity.pauses order by 1, 2, 3',
      )
      return rows.map(({ by, subscription, tenant }) => `${by} ${subscription} ${tenant}`)
    }
    const before = await pauses()
    for (const one of before) this.pauses.add(one)
    if (before.length === 0) return
    const { problems } = await this.#world.team('mail').status()
    const after = await pauses()
    const known = before.filter((one) => after.includes(one))
    const isShown = (one: string): boolean => {
      const [, subscription, tenant] = one.split(' ') as [string, string, string]
      return problems.some((problem) =>
        tenant === ''
          ? problem.includes(`${subscription} is paused by `)
          : / tenants are paused in /.test(problem) && problem.includes(tenant),
      )
    }
    this.troubles.push({ component: 'mail', trouble: 'paused', known: known.length, shown: known.filter(isShown).length })
  }
}

/** Resident now, in MB; 0 when it has just ended. */
export function memoryOf(pid: number): number {
  try {
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024)
  } catch {
    return 0
  }
}

/** Megabytes of a process that runs the sources, which alone takes 110; its connections to its team's database; rows. */
export const MEMORY = 400
const CONNECTIONS = 5
const WINDOW = 20_000
