import { fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { team } from 'comity'
import { copyAndMerge } from './apply.ts'
import type { Round } from './measure.ts'
import { CREATE_CUSTOMERS, Customer, GENERATED, stage, withClient } from './stage.ts'

/**
 * A commit in one database → the replica committed in another: a backlog of captured changes is relayed by one process and applied by
 * another. Limit: psql-style COPY out, COPY in and one merge of the same columns.
 */
export async function endToEnd(events: number, broker?: string): Promise<Round> {
  await using on = await stage(broker)
  const owner = team('owner', { database: on.owner, transport: on.bus }).owns(Customer, { table: 'customers' })
  await withClient(on.owner, (client) => client.query(CREATE_CUSTOMERS))
  await owner.migrate()
  await owner.provision()

  const keeper = fork(new URL(`./keeper-process${extname(import.meta.url)}`, import.meta.url), {
    env: { ...process.env, KEEPER_URL: on.keeper, BUS_URL: on.bus },
  })
  await once(keeper, 'message')
  const write = (first: number, last: number): Promise<void> =>
    withClient(on.owner, async (client) => {
      for (let from = first; from <= last; from += 1000) {
        await client.query(`insert into customers ${GENERATED}`, [from, Math.min(last, from + 999)])
      }
    })
  const relayed = async (all: number): Promise<number> => {
    const done = once(keeper, 'message')
    keeper.send({ waitFor: all })
    await owner.start()
    const [{ cpuMicros }] = (await done) as [{ cpuMicros: number }]
    return cpuMicros
  }
  // Both processes have compiled their code before the measurement begins.
  const warmUp = events / 5
  await write(1, warmUp)
  await relayed(warmUp)
  await owner.stop()
  await write(warmUp + 1, warmUp + events)

  const start = performance.now()
  const cpu = process.cpuUsage()
  const cpuMicros = await relayed(warmUp + events)
  const seconds = (performance.now() - start) / 1000
  const own = process.cpuUsage(cpu)
  await owner.stop()
  keeper.send({ stop: true })
  await once(keeper, 'exit')

  const limitRate = await copyAndMerge(on, events)
  return { events, seconds, cpuSeconds: (own.user + own.system + cpuMicros) / 1e6, limitRate }
}
