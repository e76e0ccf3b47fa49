import { memoryBus, team } from 'comity'
import { type Round, timed } from './measure.ts'
import { CREATE_CUSTOMERS, Customer, GENERATED, stage, withClient } from './stage.ts'

/** Draining a backlog of captured changes into a transport in memory. Limit: a plain `select` of the same rows, 1000 at a time by id. */
export async function relay(events: number): Promise<Round> {
  await using on = await stage()
  const bus = memoryBus()
  const owner = team('owner', { database: on.owner, transport: bus.connect() }).owns(Customer, { table: 'customers' })
  return await withClient(on.owner, async (client) => {
    await client.query(CREATE_CUSTOMERS)
    await owner.migrate()
    await owner.provision()
    for (let from = 1; from <= events; from += 1000) await client.query(`insert into customers ${GENERATED}`, [from, from + 999])

    const limit = await timed(async () => {
      for (let last = '0', read = -1; read !== 0; ) {
        const { rows } = await client.query('select * from comity.outbox where id > $1 order by id limit 1000', [last])
        read = rows.length
        last = rows.at(-1)?.id ?? last
      }
    })
    const measured = await timed(async () => {
      await owner.start()
      await owner.drained()
    })
    await owner.stop()
    return { events, ...measured, limitRate: events / limit.seconds }
  })
}
