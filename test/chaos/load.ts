import { setTimeout as pause } from 'node:timers/promises'
import type { Change, ChangeOutcome } from 'comity/testing'
import { Client } from 'pg'
import { Moved, Price } from './contracts.ts'
import { monotonic, type Recorder } from './recorder.ts'

/** Events a second of each tenant. */
export type Rates = Readonly<Record<string, number>>

const PUBLISH = `
  select comity.publish($1::text, e.data)::text as version from jsonb_array_elements_text($2::text::jsonb) with ordinality e(data, n)`
const REPRICE = `
  insert into prices (sku, mark, cents) select p.sku, p.mark, p.cents
    from jsonb_to_recordset($1::text::jsonb) as p(sku text, mark text, cents integer)
  on conflict (sku) do update set mark = excluded.mark, cents = excluded.cents`
const SKUS = 400
/** Between two transactions, in milliseconds. */
const TICK = 40
/** Of each tenant. */
const KEYS = 40

/**
 * Publishes `shop.moved` at a rate, whether anybody keeps up or not: so what is late is late because of who consumes. Marks are
 * `<tenant>:<load>:<n>`. Each transaction is written down for the history checker, as a writer's is.
 */
export class Load {
  readonly name: string
  readonly #client: Client
  readonly #recorder: Recorder
  readonly #published = new Map<string, number>()
  #transactions = 0
  #repriced = 0
  /** mark → when its COMMIT was answered. */
  readonly committedAt: Map<string, number> = new Map()

  private constructor(name: string, client: Client, recorder: Recorder) {
    this.name = name
    this.#client = client
    this.#recorder = recorder
  }

  static async start(options: { readonly name: string; readonly url: string; readonly recorder: Recorder }): Promise<Load> {
    const client = new Client({ connectionString: options.url, application_name: 'chaos load' })
    client.on('error', () => undefined)
    await client.connect()
    return new Load(options.name, client, options.recorder)
  }

  /** For so long, or until the signal aborts. */
  async run(rates: Rates, options: { readonly seconds?: number; readonly signal?: AbortSignal }): Promise<void> {
    const { seconds = Number.POSITIVE_INFINITY, signal } = options
    const start = performance.now()
    const due = new Map(Object.keys(rates).map((tenant) => [tenant, 0]))
    for (let elapsed = 0; elapsed < seconds && !signal?.aborted; elapsed = (performance.now() - start) / 1000) {
      const tenants: string[] = []
      for (const [tenant, rate] of Object.entries(rates)) {
        const all = Math.ceil(elapsed * rate)
        for (let n = due.get(tenant) ?? 0; n < all; n++) tenants.push(tenant)
        due.set(tenant, all)
      }
      if (tenants.length > 0) await this.publish(tenants)
      await pause(TICK)
    }
  }

  /** One transaction: an event of each of these tenants, in this order; of one key where it is given. Answers their marks. */
  async publish(
    tenants: readonly string[],
    options: { readonly key?: string; readonly padding?: string } = {},
  ): Promise<readonly string[]> {
    const events = tenants.map((agency) => {
      const n = (this.#published.get(agency) ?? 0) + 1
      this.#published.set(agency, n)
      const parcel = `${agency}-${options.key ?? n % KEYS}`
      return {
        parcel,
        agency,
        mark: `${agency}:${this.name}:${n}`,
        ...(options.padding === undefined ? {} : { padding: options.padding }),
      }
    })
    const changes = events.map(({ parcel, mark }) => ({ topic: Moved.name, key: parcel, kind: 'event' as const, mark }))
    const time = await this.#transact(changes, () => this.#publish(Moved.name, events))
    for (const { mark } of events) this.committedAt.set(mark, time)
    return events.map(({ mark }) => mark)
  }

  /** One transaction: so many prices are changed, each of another key, and their new states are published. */
  async reprice(count: number): Promise<void> {
    const prices = Array.from({ length: count }, () => {
      const n = ++this.#repriced
      return { sku: `sku-${n % SKUS}`, mark: `price:${this.name}:${n}`, cents: n }
    })
    const changes = prices.map(({ sku, mark }) => ({ topic: Price.name, key: sku, kind: 'state' as const, mark }))
    await this.#transact(changes, async () => {
      await this.#client.query(REPRICE, [JSON.stringify(prices)])
      return this.#publish(Price.name, prices)
    })
  }

  async #publish(topic: string, contents: readonly object[]): Promise<readonly number[]> {
    const values = [topic, JSON.stringify(contents.map((one) => JSON.stringify(one)))]
    const { rows } = await this.#client.query<{ version: string }>(PUBLISH, values)
    return rows.map(({ version }) => Number(version))
  }

  /** @returns when its COMMIT was answered */
  async #transact(changes: readonly Change[], work: () => Promise<readonly number[]>): Promise<number> {
    const op = `${this.name}.${++this.#transactions}`
    this.#recorder.record({ f: 'write', phase: 'invoke', time: monotonic(), op, changes })
    await this.#client.query('begin')
    const at = monotonic()
    const outcomes = (await work()).map((version): ChangeOutcome => ({ at, version }))
    await this.#client.query('insert into journal (op) values ($1::text)', [op])
    const committingAt = monotonic()
    await this.#client.query('commit')
    const time = monotonic()
    this.#recorder.record({ f: 'write', phase: 'ok', time, op, committingAt, outcomes })
    return time
  }

  close(): Promise<void> {
    return this.#client.end()
  }
}
