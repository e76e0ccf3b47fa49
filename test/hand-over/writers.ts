import { setTimeout as pause } from 'node:timers/promises'
import type { Change, Operation, WriteEnd } from 'comity/testing'
import type { PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import { recordedChange } from '../support/recorded-change.ts'

type Place = 'crm' | 'accounts'

/** Few: everybody meets at them. */
const KEYS = 12

/** One that committed and changed its row. */
export interface Written {
  readonly place: Place
  readonly key: string
  readonly version: number
}

/** They write customers all the time, first where they are owned first; each state has a name of its own: its mark. */
export class Writers {
  readonly #databases: Readonly<Record<Place, PostgresDatabase>>
  readonly #begun: Operation[] = []
  readonly #ended: (WriteEnd & { readonly written?: Written })[] = []
  #place: Place = 'crm'
  #stopped = false

  constructor(databases: Readonly<Record<Place, PostgresDatabase>>) {
    this.#databases = databases
  }

  /** Resolves when all of them have stopped. */
  async run(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, (_, i) => this.#write(i)))
  }
  goOnAtAccounts(): void {
    this.#place = 'accounts'
  }
  stop(): void {
    this.#stopped = true
  }

  get written(): readonly Written[] {
    return this.#ended.flatMap(({ written }) => written ?? [])
  }
  /** For the history checker: what was written at crm above the last version that was its own has never happened for anybody else. */
  history(last: number): readonly Operation[] {
    const ended = this.#ended.map(({ written, ...end }) =>
      written?.place === 'crm' && written.version > last ? { ...end, outcomes: [{ ...end.outcomes?.[0], undone: true }] } : end,
    )
    return [...this.#begun, ...ended]
  }

  async #write(writer: number): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      const key = `k${(n * 5 + writer * 7) % KEYS}`
      const mark = `w${writer}:${n}`
      const [kind, statement] = (
        [
          ['state', `insert into customers (id, agency_id, email, name) values ($1, 'a1', $2 || '@x.org', $2) on conflict do nothing`],
          ['state', `update customers set name = $2, email = $2 || '@y.org' where id = $1`],
          ['state', `update customers set name = $2 where id = $1`],
          ['deleted', `delete from customers where id = $1 and $2 <> ''`],
        ] as const
      )[(n + (n >> 3)) % 4] as [Change['kind'], string]
      await this.#change(`writer ${writer}`, { topic: 'crm.customer', key, kind, mark: kind === 'deleted' ? null : mark }, mark, statement)
      await pause(50)
    }
  }

  async #change(process: string, change: Change, mark: string, statement: string): Promise<void> {
    const place = this.#place
    const { begun, ended, version } = await recordedChange(this.#databases[place], process, change, mark, statement)
    this.#begun.push(begun)
    this.#ended.push({ ...ended, ...(version === undefined ? {} : { written: { place, key: change.key, version } }) })
  }
}
