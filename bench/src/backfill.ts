import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import pgCopy from 'pg-copy-streams'
import { CREATE_CONTACTS, contactTeam, GENERATED_CONTACTS } from './contact.ts'
import { type Stage, stage, withClient } from './stage.ts'

/** What `npm run bench -- backfill` prints. */
export interface BackfillResult {
  readonly name: 'backfill'
  readonly rows: number
  /** From the request until the last chunk was applied; the audit that follows has a bench of its own. */
  readonly seconds: number
  /** Rows a second, `COPY` out | `COPY` in of the same columns, and their ratio. */
  readonly rate: number
  readonly limit: number
  readonly ratio: number
  /** Processor time for a row, in microseconds: of our two processes, and of the server for each database. */
  readonly cpuMicros: Readonly<Record<string, number>>
  /** From the commit of a live change at its owner to that of the copy, in milliseconds. */
  readonly quiet: Lag
  readonly during: Lag
  /** What lies on the bus for a row, and what `pg_column_size` says that it has on disk. */
  readonly busBytes: { readonly sent: number; readonly stored: number }
}
interface Lag {
  readonly p50: number
  readonly p99: number
  readonly changes: number
}

/** A second; each is a transaction of its own. */
const LIVE_RATE = 50
const QUIET_SECONDS = 10

/** The first load of a copy of so many rows through the Postgres transport, owner and keeper in a process each, beside live changes of the same entity. */
export async function backfill(rows: number): Promise<BackfillResult> {
  await using on = await stage(undefined, { track_commit_timestamp: 'on' })
  await withClient(on.owner, async (client) => {
    await client.query(CREATE_CONTACTS)
    await client.query(`insert into contacts ${GENERATED_CONTACTS}`, [1, rows])
    await client.query('vacuum analyze contacts')
  })
  for (const side of ['owner', 'keeper'] as const) {
    const one = contactTeam(side, on[side], on.bus)
    await one.migrate()
    await one.provision()
    await one.stop()
  }
  // It is asked for when the quiet seconds are over.
  await withClient(on.keeper, (client) => client.query(`update comity.asked_backfills set state = 'ready'`))
  await using owner = await Side.start('owner', on)
  await using keeper = await Side.start('keeper', on)

  const live = new Live(on)
  await live.run(() => delay(3000))
  const quiet = await live.run(() => delay(QUIET_SECONDS * 1000))

  const before = await used(on, owner, keeper)
  let after = before
  let seconds = 0
  const during = await live.run(async () => {
    seconds = await fill(on)
    after = await used(on, owner, keeper)
  })
  const cpuMicros = Object.fromEntries(Object.entries(after).map(([name, micros]) => [name, round((micros - (before[name] ?? 0)) / rows)]))
  const busBytes = await sentBytes(on, rows)
  await check(on, rows)
  const limit = await copyThrough(on, rows)
  const rate = rows / seconds
  return {
    ...{ name: 'backfill', rows, seconds: round(seconds) },
    ...{ rate: Math.round(rate), limit: Math.round(limit), ratio: Number((rate / limit).toFixed(2)), cpuMicros, quiet, during, busBytes },
  }
}

/** One of the two teams, in a process of its own. */
class Side implements AsyncDisposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(side: 'owner' | 'keeper', on: Stage): Promise<Side> {
    const child = fork(new URL(`./contact-process${extname(import.meta.url)}`, import.meta.url), {
      env: { ...process.env, SIDE: side, DATABASE_URL: on[side], BUS_URL: on.bus },
    })
    await once(child, 'message')
    return new Side(child)
  }

  async cpuMicros(): Promise<number> {
    const answer = once(this.#child, 'message')
    this.#child.send('used')
    return ((await answer)[0] as { readonly cpuMicros: number }).cpuMicros
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.send('stop')
    await once(this.#child, 'exit')
  }
}

/** Rows that appear in front of everything that is read: the copy gets them by live changes alone. Each is written once, so that the commits of both sides stay known. */
class Live {
  readonly #on: Stage
  #next = -1

  constructor(on: Stage) {
    this.#on = on
  }

  async run(work: () => Promise<void>): Promise<Lag> {
    const from = this.#next
    let over = false
    const writing = withClient(this.#on.owner, async (client) => {
      const start = performance.now()
      for (let n = 0; !over; n++) {
        await client.query(`insert into contacts ${GENERATED_CONTACTS}`, [this.#next, this.#next])
        this.#next--
        await delay(Math.max(0, start + ((n + 1) * 1000) / LIVE_RATE - performance.now()))
      }
    })
    try {
      await work()
    } finally {
      over = true
      await writing
    }
    const wanted = from - this.#next
    const copied = await untilCopied(this.#on, this.#next, from, wanted)
    const own = await committed(this.#on.owner, 'contacts', this.#next, from)
    const lags = [...own].map(([id, at]) => ((copied.get(id) as number) - at) * 1000).sort((a, b) => a - b)
    const at = (share: number): number => round(lags[Math.min(lags.length - 1, Math.floor(lags.length * share))] as number)
    return { p50: at(0.5), p99: at(0.99), changes: wanted }
  }
}

async function untilCopied(on: Stage, after: number, to: number, wanted: number): Promise<ReadonlyMap<string, number>> {
  for (;;) {
    const copied = await committed(on.keeper, 'owner_contact', after, to)
    if (copied.size === wanted) return copied
    await delay(20)
  }
}

/** When the rows of these ids were committed, in seconds, by Postgres itself. */
async function committed(url: string, table: string, after: number, to: number): Promise<ReadonlyMap<string, number>> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ id: string; at: string }>(
      `select id, extract(epoch from pg_xact_commit_timestamp(xmin)) as at from ${table} where id > $1::bigint and id <= $2::bigint`,
      [after, to],
    ),
  )
  return new Map(rows.map(({ id, at }) => [id, Number(at)]))
}

/** Resolves when the last chunk has been applied, with the seconds that it took. */
async function fill(on: Stage): Promise<number> {
  return withClient(on.keeper, async (client) => {
    await client.query(
      `insert into comity.asked_backfills (replica, owner, entity, why) values ('keeper.owner-contact', 'owner', 'owner.contact', 'asked')`,
    )
    for (;;) {
      const { rows } = await client.query<{ state: string; reason: string | null; seconds: string | null }>(
        `select state, reason, extract(epoch from filled_at - asked_at) as seconds from comity.asked_backfills where why = 'asked'`,
      )
      const { state, reason, seconds } = rows[0] as (typeof rows)[number]
      if (!['asking', 'filling', 'settling', 'ready'].includes(state)) throw new Error(`${state}: ${reason}`)
      if (seconds !== null) return Number(seconds)
      await delay(50)
    }
  })
}

/** Processor time so far, in microseconds: of the two processes, and of the server's processes by database. */
async function used(on: Stage, owner: Side, keeper: Side): Promise<Record<string, number>> {
  const { rows } = await withClient(on.owner, (client) =>
    client.query<{ pid: number; name: string }>(`select pid, coalesce(datname, 'writers') as name from pg_stat_activity`),
  )
  const server: Record<string, number> = {}
  for (const { pid, name } of rows) server[`server: ${name}`] = (server[`server: ${name}`] ?? 0) + processorMicros(pid)
  return { 'owner process': await owner.cpuMicros(), 'keeper process': await keeper.cpuMicros(), ...server }
}

/** Of a process, user and system, in Linux's ticks of 10 ms. */
function processorMicros(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  } catch {
    return 0 // it has ended
  }
}

async function sentBytes(on: Stage, rows: number): Promise<{ readonly sent: number; readonly stored: number }> {
  const { rows: sizes } = await withClient(on.bus, (client) =>
    client.query<{ sent: string; stored: string }>(
      `select sum(octet_length(m.data)) as sent, sum(pg_column_size(m.data)) as stored
       from comity_bus.messages m join comity_bus.topics t on t.id = m.topic_id where t.name like 'comity.keeper.copy-%'`,
    ),
  )
  return { sent: round(Number(sizes[0]?.sent) / rows), stored: round(Number(sizes[0]?.stored) / rows) }
}

/** Nothing was measured that is not there. */
async function check(on: Stage, rows: number): Promise<void> {
  const sum = (url: string, table: string): Promise<unknown> =>
    withClient(url, async (client) => {
      const columns = 'id, agency_id, email, name, city, note, visits, active, born_on, updated_at'
      return (
        await client.query(`select count(*), sum(hashtext((${columns})::text)) from (select ${columns} from ${table} where id > 0) t`)
      ).rows[0]
    })
  const [own, copy] = [await sum(on.owner, 'contacts'), await sum(on.keeper, 'owner_contact')]
  if (JSON.stringify(own) !== JSON.stringify(copy)) throw new Error(`not copied: ${JSON.stringify({ rows, own, copy })}`)
}

/** The limit of every way from one database to another: `COPY` out piped into `COPY` of an empty table with a primary key. Rows a second. */
async function copyThrough(on: Stage, rows: number): Promise<number> {
  return withClient(on.owner, (from) =>
    withClient(on.keeper, async (to) => {
      await to.query(CREATE_CONTACTS)
      const start = performance.now()
      const out = from.query(pgCopy.to('copy (select * from contacts where id > 0) to stdout'))
      await pipeline(out, to.query(pgCopy.from('copy contacts from stdin')))
      return rows / ((performance.now() - start) / 1000)
    }),
  )
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
