import { entity } from '@comity/contract'
import { team } from 'comity'
import { postgresTransport } from 'comity/transport'
import { z } from 'zod'
import { CREATE_CUSTOMERS, Customer, GENERATED, type Stage, stage, withClient } from './stage.ts'

/** What a team costs that has nothing to do. */
export interface Idle {
  readonly name: 'idle'
  readonly minutes: number
  readonly subscriptions: number
  /** Of one core, all of our processes; the server's processes apart. */
  readonly cpuPercent: number
  readonly serverCpuPercent: number
  readonly rssMegabytes: { readonly before: number; readonly after: number }
  readonly connections: { readonly before: number; readonly after: number }
  readonly walBytesPerMinute: number
  /** From the commit to the committed copy, for the first change after the silence. */
  readonly firstEventMs: number
}

/** Two teams with ten subscriptions between them stand still for a while; then one row changes. */
export async function idle(minutes: number): Promise<Idle> {
  await using on = await stage()
  const others = Array.from({ length: 9 }, (_, i) =>
    entity(`owner.thing-${i}`, { key: 'id', state: z.object({ id: z.string(), name: z.string() }) }),
  )
  const owner = team('owner', { database: on.owner, transport: postgresTransport({ url: on.bus }) }).owns(Customer, { table: 'customers' })
  const keeper = team('keeper', { database: on.keeper, transport: postgresTransport({ url: on.bus }) }).keeps(Customer, {
    fields: ['email'],
  })
  for (const other of others) {
    owner.owns(other)
    keeper.keeps(other, { fields: ['name'] })
  }
  await withClient(on.owner, (client) => client.query(CREATE_CUSTOMERS))
  for (const one of [owner, keeper]) {
    await one.migrate()
    await one.provision()
    await one.start()
  }
  await withClient(on.owner, (client) => client.query(`insert into customers ${GENERATED}`, [1, 10]))
  await arrived(on, 10)
  await sleep(15_000)

  const before = await reading(on)
  await sleep(minutes * 60_000)
  const after = await reading(on)
  const start = performance.now()
  await withClient(on.owner, (client) => client.query(`insert into customers ${GENERATED}`, [11, 11]))
  await arrived(on, 11)
  const firstEventMs = performance.now() - start
  await keeper.stop()
  await owner.stop()
  const seconds = minutes * 60
  return {
    name: 'idle',
    minutes,
    subscriptions: 10,
    cpuPercent: percent(after.cpuSeconds - before.cpuSeconds, seconds),
    serverCpuPercent: percent(after.serverCpuSeconds - before.serverCpuSeconds, seconds),
    rssMegabytes: { before: before.rss, after: after.rss },
    connections: { before: before.connections, after: after.connections },
    walBytesPerMinute: Math.round((after.wal - before.wal) / minutes),
    firstEventMs: Number(firstEventMs.toFixed(1)),
  }
}

async function arrived(on: Stage, wanted: number): Promise<void> {
  await withClient(on.keeper, async (client) => {
    for (;;) {
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from owner_customer')
      if (rows[0]?.n === wanted) return
      await sleep(2)
    }
  })
}

async function reading(on: Stage) {
  globalThis.gc?.()
  const { user, system } = process.cpuUsage()
  return withClient(on.server.url, async (client) => {
    const { rows } = await client.query<{ connections: number; wal: string }>(
      `select (select count(*)::int from pg_stat_activity where application_name like 'comity%') as connections, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') as wal`,
    )
    const { connections, wal } = rows[0] as { connections: number; wal: string }
    return {
      cpuSeconds: (user + system) / 1e6,
      serverCpuSeconds: await serverCpu(on.server.pid),
      rss: Math.round(process.memoryUsage().rss / 1e6),
      connections,
      wal: Number(wal),
    }
  })
}

/** Processor seconds of the server's processes, those that have ended included, from /proc (in hundredths of a second). */
async function serverCpu(postmaster: number): Promise<number> {
  const { readdir, readFile } = await import('node:fs/promises')
  let ticks = 0
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const own = Number(fields[11]) + Number(fields[12])
    if (Number(pid) === postmaster) ticks += own + Number(fields[13]) + Number(fields[14])
    else if (Number(fields[1]) === postmaster) ticks += own
  }
  return ticks / 100
}

function percent(cpuSeconds: number, seconds: number): number {
  return Number(((100 * cpuSeconds) / seconds).toFixed(2))
}
function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
