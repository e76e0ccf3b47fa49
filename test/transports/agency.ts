import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { comity, type Ended, type Started, startComity } from '../../packages/cli/test/support/comity.ts'
import { until } from '../chaos/until.ts'
import { freshDatabase } from '../support/postgres.ts'

export const TEAMS = ['crm', 'marketing', 'analysis'] as const
export type TeamName = (typeof TEAMS)[number]
const CONFIG = ['-c', fileURLToPath(new URL('./agency/', import.meta.url))]
const KEYS = 12

/** What each handler did, in the order of its commits; nothing in the table prevents a second row of one message. */
const EFFECTS =
  'create table effects (seq bigint generated always as identity primary key, message text not null, key text not null, n int not null)'

/** The agency's three teams with real databases; processes and commands are those that users run. */
export class Agency {
  readonly env: Record<string, string> = {}
  readonly db = new Map<TeamName, pg.Client>()
  readonly processes = new Set<Started>()
  /** Events sent of each key, and of each customer the last name. */
  readonly sent: number[] = Array.from({ length: KEYS }, () => 0)
  #writing: Promise<void> | undefined
  #stop = false

  static async create(): Promise<Agency> {
    const agency = new Agency()
    for (const name of TEAMS) {
      const { url } = await freshDatabase()
      agency.env[`${name.toUpperCase()}_URL`] = url
      const client = new pg.Client(url)
      await client.connect()
      agency.db.set(name, client)
      if (name !== 'marketing') await client.query(EFFECTS)
    }
    return agency
  }

  /** A command of the operator, with its output; one that fails throws. */
  async comity(...args: readonly string[]): Promise<Ended> {
    return comity([...args, ...CONFIG], { env: this.env })
  }
  start(...args: readonly string[]): Started {
    return startComity([...args, ...CONFIG], { env: this.env })
  }

  /** One more process of all three teams, on the brokers that the environment names now. */
  async run(env: Readonly<Record<string, string>> = {}): Promise<Started> {
    const started = startComity(['run', ...CONFIG], { env: { ...this.env, ...env } })
    this.processes.add(started)
    await started.line(/"running".*analysis|analysis.*"running"/)
    return started
  }
  async stop(started: Started, signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.processes.delete(started)
    return started.stop(signal)
  }

  sql(team: TeamName): pg.Client {
    return this.db.get(team) as pg.Client
  }

  /** One event of each key, and now and then another name for its customer. */
  async write(): Promise<void> {
    for (const [k, n] of this.sent.entries()) {
      this.sent[k] = n + 1
      await this.sql('marketing').query(`select comity.publish('marketing.email-sent', $1)`, [JSON.stringify({ customerId: `c${k}`, n })])
      if (n % 4 === 0)
        await this.sql('crm').query(`select comity.publish('crm.customer', $1)`, [
          JSON.stringify({ id: `c${k}`, email: `c${k}@example.com`, name: `Name ${n}` }),
        ])
    }
  }
  keepWriting(): void {
    this.#stop = false
    this.#writing = (async () => {
      // Some hundred events a second: two processes and a command run beside it.
      while (!this.#stop) {
        await this.write()
        await pause(150)
      }
    })()
  }
  async stopWriting(): Promise<void> {
    this.#stop = true
    await this.#writing
  }

  /** Resolves when both handlers have had every event, and Marketing's copy says what CRM's last states say. */
  async settled(expected = this.sent): Promise<void> {
    const total = expected.reduce((sum, n) => sum + n, 0)
    for (const team of ['crm', 'analysis'] as const)
      await until(`${team} has had ${total} events`, async () => {
        const { rows } = await this.sql(team).query('select count(distinct message)::int as n from effects')
        return rows[0].n >= total
      })
    await until('the copy is true', async () => JSON.stringify(await this.copies()) === JSON.stringify(await this.states()))
  }
  async copies(): Promise<unknown[]> {
    return (await this.sql('marketing').query('select id, name from crm_customer order by id collate "C"')).rows
  }
  async states(): Promise<unknown[]> {
    const text = `select key as id, state::json ->> 'name' as name from comity.heads where topic = 'crm.customer' order by key collate "C"`
    return (await this.sql('crm').query(text)).rows
  }

  /** What a handler did that it should not have: an event twice, or before one that came before it. */
  async violations(team: TeamName): Promise<unknown[]> {
    const { rows } = await this.sql(team).query(
      `select * from (select key, n, lag(n) over (partition by key order by seq) as before from effects) e where n <= before`,
    )
    return rows
  }
  async repetitions(team: TeamName): Promise<unknown[]> {
    const { rows } = await this.sql(team).query('select key, n, count(*) as times from effects group by key, n having count(*) > 1')
    return rows
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopWriting()
    await Promise.all([...this.processes].map((started) => started.stop('SIGKILL')))
    await Promise.all([...this.db.values()].map((client) => client.end()))
  }
}

/** A bus, gone or empty, as a disk that was lost leaves it. */
export async function recreate(url: string, { create }: { readonly create: boolean }): Promise<void> {
  const name = new URL(url).pathname.slice(1)
  const server = new URL(url)
  server.pathname = '/postgres'
  const client = new pg.Client(server.href)
  await client.connect()
  await client.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`)
  if (create) await client.query(`create database ${pg.escapeIdentifier(name)}`)
  await client.end()
}
