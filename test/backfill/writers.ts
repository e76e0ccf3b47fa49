import type { PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import type { Operation } from '../../packages/comity/src/testing/index.ts'

const TOPIC = 'crm.customer'

/** Updaters, creators and deleters, most of the time of keys in the stretch that is read now. Each change has a name of its own: its mark. */
export class Writers {
  readonly #database: PostgresDatabase
  readonly #random: (below: number) => number
  readonly #record: (operation: Operation) => void
  #stopped = false
  #marks = 0

  constructor(options: {
    readonly database: PostgresDatabase
    readonly random: (below: number) => number
    readonly record: (operation: Operation) => void
  }) {
    this.#database = options.database
    this.#random = options.random
    this.#record = options.record
  }

  /** Resolves when all of them have stopped. */
  async run(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, (_, i) => this.#write(`writer ${i + 1}`)))
  }

  stop(): void {
    this.#stopped = true
  }

  async #write(process: string): Promise<void> {
    while (!this.#stopped) {
      const near = await this.#key()
      const mark = `M${++this.#marks}`
      const what = this.#random(6)
      // What is deleted is created again, so that they don't become fewer and fewer.
      const key = what < 3 && what > 0 && this.#random(2) === 0 ? `c${1 + this.#random(1600)}` : near
      if (what === 0) await this.#change(process, key, null, 'delete from customers where id = $1', [key])
      else if (what < 3)
        await this.#change(
          ...([process, key, mark] as const),
          `insert into customers values ($1, 'a1', 'new@example.com', $2) on conflict (id) do update set name = excluded.name`,
          [key, mark],
        )
      else await this.#change(process, key, mark, 'update customers set name = $2 where id = $1', [key, mark])
      await new Promise((resolve) => setTimeout(resolve, 50 + this.#random(200)))
    }
  }

  /** Near the place of the backfill, three times of four; some of them are new. */
  async #key(): Promise<string> {
    if (this.#random(4) > 0) {
      const { rows } = await this.#database.query<{ id: string }>(
        `select c.id from customers c
         where c.id > coalesce((select b.place ->> 0 from comity.backfills b where b.state in ('waiting', 'running') limit 1), '') order by c.id limit 1 offset $1::int`,
        [this.#random(120)],
      )
      if (rows[0] !== undefined) return this.#random(8) === 0 ? `${rows[0].id}-${this.#random(3)}`.slice(0, 12) : rows[0].id
    }
    return `c${1 + this.#random(1600)}`
  }

  async #change(process: string, key: string, mark: string | null, statement: string, values: readonly unknown[]): Promise<void> {
    const op = `${process} ${++this.#marks}`
    const change = { topic: TOPIC, key, kind: mark === null ? 'deleted' : 'state', mark } as const
    this.#record({ f: 'write', phase: 'invoke', process, time: performance.now(), op, changes: [change] })
    const at = performance.now()
    const { rows } = await this.#database.query<{ n: number }>(
      `with changed as (${statement} returning 1) select count(*)::int as n from changed`,
      values,
    )
    // It found no row.
    const outcomes = [rows[0]?.n === 0 ? { at, undone: true } : { at }]
    this.#record({ f: 'write', phase: 'ok', process, time: performance.now(), op, committingAt: at, outcomes })
  }
}
