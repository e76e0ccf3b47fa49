import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../chaos/random.ts'
import type { TeamProcess } from '../chaos/team-process-handle.ts'
import { KEPT } from '../chaos/teams.ts'
import { until } from '../chaos/until.ts'
import type { World } from '../chaos/world.ts'
import type { Mix } from '../chaos/writer.ts'
import type { CrashableServer } from '../support/crashable-server.ts'

/** What makes one kind of bug come out within seconds. Judged by the history checker when it has drained. */
export interface Stage {
  /** Puts its faults into a world that is ready; everything that the checker needs to know is recorded there. */
  readonly run: (world: World, random: Random, owner: CrashableServer) => Promise<void>
  /** The owner's database is on a server that can be put back. */
  readonly restorable?: boolean
}

export type StageName = keyof typeof STAGES

const only = (weights: Partial<Mix['weights']>): Mix['weights'] => ({
  account: 0,
  product: 0,
  line: 0,
  note: 0,
  price: 0,
  clicked: 0,
  moved: 0,
  ...weights,
})
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Sixteen writers on a few hot keys, the relay well. */
async function writers(world: World): Promise<void> {
  await Promise.all([world.spawn('shop'), world.spawn('mail'), world.spawn('stock')])
  await world.write({ changes: 1500, connections: 16, mix: { keys: 4, rows: 3, prepared: 0.01, asynchronous: 0 } })
}

/** One relay leads, and is put to sleep again and again for longer than its lease. */
async function relays(world: World, random: Random): Promise<void> {
  const relaying = await Promise.all([0, 1, 2].map(() => world.spawn('shop', { lease: '600ms' })))
  await Promise.all([world.spawn('mail'), world.spawn('stock')])
  const writing = world.write({ changes: 1200, connections: 6, mix: { keys: 6 } })
  for (let n = 0; n < 6; n++) {
    await world.fault('stop a relay past its lease', async () => {
      const victim = random.pick(relaying)
      const really = victim.signal('SIGSTOP')
      await pause(900)
      victim.signal('SIGCONT')
      return really
    })
  }
  await writing
}

/** The owner's database is put back to a copy of its files. */
async function restored(world: World, _random: Random, owner: CrashableServer): Promise<void> {
  await Promise.all([world.spawn('mail'), world.spawn('stock')])
  const before = await world.spawn('shop')
  const write = (): Promise<number> => world.write({ changes: 80, connections: 4 })
  await write()
  await world.drain()
  const copy = await owner.copyFiles()
  await write()
  await world.drain()
  await before.kill()
  world.restored = true
  await world.fault('restore the owner', () => owner.restore(copy))
  await write()
  await world.spawn('shop')
}

/** Handlers that are killed inside and behind their transactions, that catch errors of SQL, and to whom everything comes more than once. */
async function handlers(world: World, random: Random): Promise<void> {
  await Promise.all([world.spawn('shop'), world.spawn('stock')])
  const options = { swallowing: 17, handling: { attempts: 1 } }
  const write = (changes: number): Promise<number> =>
    world.write({ changes, connections: 3, mix: { keys: 30, weights: only({ note: 2, clicked: 4, moved: 4 }) } })
  for (let n = 0; n < 4; n++) {
    const moment = random.pick(['after-effect', 'before-acknowledge'] as const)
    const dying = world.launch('mail', { ...options, failpoints: [world.failpoint(moment, 'SIGKILL', random.between(2, 9))] })
    await write(60)
    const { signal } = await endOf(dying, 10_000)
    world.happened(`kill a consumer ${moment}`, signal === 'SIGKILL')
  }
  await world.spawn('mail', { ...options, adversary: random.between(1, 1e6) })
  await write(300)
}

/** Waiting lines that are run again and again while their keys' messages keep coming; in the end all of them are run. */
async function lines(world: World, random: Random): Promise<void> {
  const poison = join(world.folder, 'poison.txt')
  // Each writer's marks are w<n>:<m>: one in four is poison for the time being.
  const some = Array.from({ length: 60 }, (_, n) => Array.from({ length: 60 }, (_, m) => `w${n}:${m * 4 + 1}`)).flat()
  writeFileSync(poison, '')
  appendFileSync(poison, `${some.join('\n')}\n`)
  await Promise.all([world.spawn('shop'), world.spawn('stock')])
  // What has had its effect comes again, also when its key waits.
  const consumer = await world.spawn('mail', { poison, handling: { attempts: 1, breaker: false }, adversary: random.between(1, 1e6) })
  const mix = { keys: 2, weights: only({ clicked: 1, moved: 4 }), savepoints: 0 }
  const writing = world.fault('poison', () => world.write({ changes: 400, connections: 3, mix }))
  const runner = await world.spawn('mail', { handling: { attempts: 1 } })
  let written = false
  void writing.finally(() => {
    written = true
  })
  while (!written) await runLines(world, runner)
  await world.drain(30_000)
  await consumer.kill()
  // An operator ends one of those that still wait.
  const { rows } = await world.pools.mail.query<{ key: string }>(`select key from comity.waiting_keys where reason = 'parked' limit 1`)
  for (const { key } of rows) {
    const { job } = await world.operate<{ job: string }>('mail', 'skip', { key })
    await until('it is skipped', async () => (await world.job('mail', job)).state === 'done')
  }
  await runLines(world, runner)
}

async function runLines(world: World, process: TeamProcess): Promise<void> {
  const { rows } = await world.pools.mail.query<{ subscription: string; key: string }>('select subscription, key from comity.waiting_keys')
  for (const { subscription, key } of rows) await process.retry(subscription, key)
}

/** Copies whose commits take long, in processes that are killed meanwhile; what comes, comes in any order, and again. */
async function copies(world: World, random: Random): Promise<void> {
  await world.pools.stock.query(`
    create function take_long() returns trigger language plpgsql as $$ begin perform pg_sleep(0.15 * random()); return null; end $$;
    ${Object.values(KEPT)
      .map(
        ({ table }) =>
          `create constraint trigger take_long after insert or update on ${table} deferrable initially deferred for each row execute function take_long()`,
      )
      .join(';\n')}`)
  await Promise.all([world.spawn('shop'), world.spawn('mail')])
  const stock = (): TeamProcess => world.launch('stock', { adversary: random.between(1, 1e6), bucketLease: 300 })
  let alive = [stock(), stock()]
  await Promise.all(alive.map((process) => process.ready))
  const writing = world.write({ changes: 700, connections: 6, mix: { keys: 6, rows: 2 } })
  for (let n = 0; n < 6; n++) {
    await pause(400)
    await world.fault('kill a consumer of copies', async () => {
      const [victim, ...others] = alive as [TeamProcess, ...TeamProcess[]]
      alive = [...others, stock()]
      return victim.signal('SIGKILL')
    })
  }
  await writing
}

async function endOf(process: TeamProcess, patience: number): Promise<{ readonly signal: NodeJS.Signals | null }> {
  const ended = await Promise.race([process.exited, pause(patience)])
  if (ended !== undefined) return ended
  await process.kill()
  return { signal: null }
}

export const STAGES = {
  writers: { run: writers },
  relays: { run: relays },
  restored: { run: restored, restorable: true },
  handlers: { run: handlers },
  lines: { run: lines },
  copies: { run: copies },
} as const satisfies Readonly<Record<string, Stage>>
