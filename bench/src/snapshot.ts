import { team } from 'comity'
import { postgresTransport } from 'comity/transport'
import pg from 'pg'
import { median } from './measure.ts'
import { CREATE_CUSTOMERS, Customer, EmailSent, GENERATED, type Stage, stage, withClient } from './stage.ts'

/** What `npm run bench -- snapshot` prints: rates in events per second, medians of windows of a few seconds. */
export interface SnapshotResult {
  readonly name: 'snapshot'
  readonly minutes: number
  /** Before the snapshot was opened, and in the last fifth of the time that it stayed open. */
  readonly before: number
  readonly atTheEnd: number
  readonly ratio: number
  /** The server's dead rows of our own tables at the end, the most first. */
  readonly deadRows: Readonly<Record<string, number>>
}

/**
 * The whole pipeline (capture and publish → relay → bus → replica and handler) under load, while one transaction keeps a snapshot of
 * each database open: Postgres then removes no dead row, and what is updated or deleted all the time becomes slower and slower.
 */
export async function snapshot(minutes: number): Promise<SnapshotResult> {
  await using on = await stage()
  const owner = team('owner', { database: on.owner, transport: postgresTransport({ url: on.bus }) })
    .owns(Customer, { table: 'customers' })
    .publishes(EmailSent)
  const keeper = team('keeper', { database: on.keeper, transport: postgresTransport({ url: on.bus }) })
    .keeps(Customer, { fields: ['email', 'name'] })
    .on(EmailSent, async (event, { tx }) => {
      await tx.query('insert into sent (customer, version) values ($1, $2)', [event.data.customerId, String(event.version)])
    })
  await withClient(on.owner, (client) => client.query(CREATE_CUSTOMERS))
  await withClient(on.keeper, (client) => client.query('create table sent (customer bigint, version bigint)'))
  for (const one of [owner, keeper]) {
    await one.migrate()
    await one.provision()
    await one.start()
  }
  try {
    const load = await Load.start(on)
    await load.run(5)
    const before = await load.run(Math.max(20, (minutes * 60) / 5))
    const snapshots = await Promise.all([on.owner, on.keeper, on.bus].map(openSnapshot))
    await load.run(minutes * 60 * 0.8)
    const atTheEnd = await load.run(minutes * 60 * 0.2)
    for (const client of snapshots) await client.end()
    await load.end()
    const deadRows = await mostDead(on)
    return { name: 'snapshot', minutes, before, atTheEnd, ratio: Number((atTheEnd / before).toFixed(2)), deadRows }
  } finally {
    await Promise.all([owner.stop(), keeper.stop()])
  }
}

async function openSnapshot(url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query('begin isolation level repeatable read read only')
  await client.query('select count(*) from pg_class')
  return client
}

/** Rows and events in chunks: the next when the last has arrived, so that the rate is what the pipeline takes. */
class Load {
  readonly #owner: pg.Client
  readonly #keeper: pg.Client
  #written = 0

  private constructor(owner: pg.Client, keeper: pg.Client) {
    this.#owner = owner
    this.#keeper = keeper
  }

  static async start(on: Stage): Promise<Load> {
    const [owner, keeper] = [new pg.Client(on.owner), new pg.Client(on.keeper)]
    await Promise.all([owner.connect(), keeper.connect()])
    return new Load(owner, keeper)
  }

  /** @returns events a second, the median over the chunks of so many seconds */
  async run(seconds: number): Promise<number> {
    const rates: number[] = []
    for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
      const start = performance.now()
      await this.#chunk()
      rates.push((2 * CHUNK) / ((performance.now() - start) / 1000))
    }
    return Math.round(median(rates))
  }

  async #chunk(): Promise<void> {
    const [from, to] = [this.#written + 1, this.#written + CHUNK]
    await this.#owner.query(`insert into customers ${GENERATED}`, [from, to])
    await this.#owner.query(
      `select count(comity.publish('owner.email-sent', json_build_object('customerId', i, 'agencyId', 'agency-' || i % 50, 'note', '')::text))
       from generate_series($1::int, $2::int) i`,
      [from, to],
    )
    this.#written = to
    for (;;) {
      const { rows } = await this.#keeper.query<{ ended: string }>('select sum(applied + stale) as ended from comity.counts')
      if (Number(rows[0]?.ended) >= 2 * to) return
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  async end(): Promise<void> {
    await Promise.all([this.#owner.end(), this.#keeper.end()])
  }
}

/** Rows, and as many events, of one chunk. */
const CHUNK = 2000

async function mostDead(on: Stage): Promise<Record<string, number>> {
  const found: [string, number][] = []
  for (const url of [on.owner, on.keeper, on.bus]) {
    const { rows } = await withClient(url, (client) =>
      client.query<{ table: string; dead: string }>(
        `select relname as table, n_dead_tup as dead from pg_stat_user_tables where schemaname like 'comity%' order by n_dead_tup desc limit 3`,
      ),
    )
    found.push(...rows.map(({ table, dead }): [string, number] => [table, Number(dead)]))
  }
  return Object.fromEntries(found.sort((a, b) => b[1] - a[1]))
}
