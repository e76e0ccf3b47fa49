import type { ChildProcess } from 'node:child_process'
import type { Observations } from 'comity/testing'
import { postgresTransport, type Transport } from 'comity/transport'
import { connect, type PostgresDatabase } from '../../packages/comity/src/postgres/index.ts'
import { CUSTOMERS } from '../../packages/comity/test/backfill/customers.ts'
import { observedCopy, WATCH } from '../backfill/observed-copy.ts'
import { until } from '../chaos/until.ts'
import { ChildProcesses } from '../support/child-processes.ts'
import type { Kill } from '../support/killed-process.ts'
import { freshDatabase } from '../support/postgres.ts'
import { DATABASES, type Database, databaseOf, EFFECTS, type Side, sides } from './sides.ts'
import type { TeamProcessOptions } from './team-process.ts'
import { Writers } from './writers.ts'

const WRITERS = 8
const WAITING = `
  select count(*)::int as n from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done`
const READERS = ['marketing.crm-customer', 'sales.watcher']

/** Four teams with a database each, and their broker. */
export class World {
  readonly processes = new ChildProcesses(new URL('team-process.ts', import.meta.url))
  readonly dbs: Readonly<Record<Database | 'bus', PostgresDatabase>>
  readonly writers: Writers
  readonly transport: Transport
  readonly #urls: Readonly<Record<Database | 'bus', string>>

  constructor(urls: Readonly<Record<Database | 'bus', string>>) {
    this.#urls = urls
    this.dbs = Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, connect(url, { max: WRITERS + 2 })])) as World['dbs']
    this.writers = new Writers(this.dbs)
    this.transport = postgresTransport({ url: urls.bus, allowUnsafe: true })
  }

  async prepare(): Promise<void> {
    await this.dbs.crm.query(CUSTOMERS)
    await this.dbs.sales.query(EFFECTS)
    // Who is to take it over begins with lower versions than whoever has it, as its database is the first.
    for (const side of DATABASES) {
      const team = this.team(side)
      await team.migrate()
      await team.provision()
      await this.dbs[side].query('select comity.notice_incarnation()::text')
    }
    for (const statement of WATCH) await this.dbs.marketing.query(statement)
  }

  /** In this process; it is not started. */
  team(side: Side) {
    return sides[side].with<unknown>({ database: this.#urls[databaseOf(side)] as never, transport: this.transport, allowUnsafe: true })
  }

  run(side: Side, kill?: Kill, how: Pick<TeamProcessOptions, 'migrates'> = {}): ChildProcess {
    const options: TeamProcessOptions = {
      ...{ side, database: this.#urls[databaseOf(side)], bus: this.#urls.bus },
      ...how,
      ...(kill ? { kill } : {}),
    }
    return this.processes.start(options)
  }

  write(): Promise<void> {
    return this.writers.run(WRITERS)
  }

  /** Of `accounts`, when its copy became its table. */
  async isTaken(): Promise<boolean> {
    return (await this.dbs.accounts.query('select from comity.hand_overs where taken_at is not null')).rows.length > 0
  }

  /** Everything that is committed was sent, or withheld, and has ended. */
  async drained(): Promise<void> {
    for (const owner of ['crm', 'accounts'] as const)
      await until(`${owner} has sent everything`, async () => {
        const { rows } = await this.dbs[owner].query<{ settled: boolean }>(
          `select (select c.id from comity.checkpoint c where source = 'outbox') >= (select coalesce(max(id), 0) from comity.outbox) as settled`,
        )
        return rows[0]?.settled
      })
    await until('everything sent has ended', async () => (await this.#backlog()).every((backlog) => backlog === 0))
    for (const reader of ['accounts', 'marketing', 'sales'] as const)
      await until(`no line waits at ${reader}`, async () => (await this.dbs[reader].query<{ n: number }>(WAITING)).rows[0]?.n === 0)
  }

  async #backlog(): Promise<readonly number[]> {
    return ((await this.transport.stats?.(READERS)) ?? []).map(({ backlog }) => backlog)
  }

  /** For the history checker, when it has drained. */
  async observe(faultsScheduled: number): Promise<Observations> {
    const [crm, accounts, withheld, effects, counts] = await Promise.all([
      this.#changes('crm'),
      this.#changes('accounts'),
      this.dbs.crm.query<{ id: string; mark: string | null }>(
        `select id::text as id, payload::jsonb ->> 'name' as mark from comity.withheld where resolved_at is null`,
      ),
      this.dbs.sales.query<{ message: string; key: string; kind: 'state' | 'deleted'; version: string; mark: string | null }>(
        'select message, key, kind, version::text as version, mark from effects order by n',
      ),
      this.dbs.sales.query<{ applied: number; waiting: number; discarded: number }>(
        `select sum(applied)::float8 as applied, sum(waiting)::float8 as waiting, sum(discarded)::float8 as discarded from comity.counts where subscription = 'sales.watcher'`,
      ),
    ])
    const [copied = 0, handled = 0] = await this.#backlog()
    return {
      ...{ faultsScheduled, drained: true, topics: [{ name: 'crm.customer', promise: 'entity' }] },
      // To its readers they are one owner.
      outboxes: [
        {
          ...{ team: 'crm, then accounts', changes: [...crm, ...accounts], pending: [], checkpoints: [] },
          withheld: withheld.rows.map(({ id, mark }) => ({ version: Number(id), mark })),
        },
      ],
      subscriptions: [
        {
          ...{ name: 'sales.watcher', topic: 'crm.customer', waiting: [], discarded: [], backlog: handled },
          effects: effects.rows.map(({ version, ...effect }) => ({ ...effect, generation: 1, version: Number(version) })),
          ...(counts.rows[0] && { counts: { ...counts.rows[0], waiting: 0 } }),
        },
      ],
      replicas: [{ ...(await observedCopy(this.dbs.accounts, this.dbs.marketing)), backlog: copied }],
    }
  }

  async #changes(owner: 'crm' | 'accounts'): Promise<readonly { version: number; topic: string; key: string }[]> {
    const { rows } = await this.dbs[owner].query<{ id: string; topic: string; key: string }>(
      `select id::text as id, topic, key from comity.outbox where topic = 'crm.customer' order by id`,
    )
    return rows.map(({ id, topic, key }) => ({ version: Number(id), topic, key }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.writers.stop()
    this.processes.killAll()
    await this.transport.close()
    for (const db of Object.values(this.dbs)) await db.close()
  }
}

export async function newWorld(): Promise<World> {
  const names = [...DATABASES, 'bus'] as const
  const urls = await Promise.all(names.map(async (name) => [name, (await freshDatabase({ migrated: name !== 'bus' })).url] as const))
  const world = new World(Object.fromEntries(urls) as Record<Database | 'bus', string>)
  await world.prepare()
  return world
}
