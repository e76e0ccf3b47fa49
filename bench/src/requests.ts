import { event, request } from '@comity/contract'
import { type Queryable, team } from 'comity'
import pg from 'pg'
import { z } from 'zod'
import { CREATE_CUSTOMERS, Customer, GENERATED, stage, withClient } from './stage.ts'

const Rename = request('owner.rename-customer', {
  entity: Customer,
  key: 'customerId',
  data: z.object({ customerId: z.int(), name: z.string() }),
})
/** The same by hand: a wish as an event, and an event that answers it. Nothing of what a request promises is in it. */
const Wished = event('asker.rename-wished', { key: 'customerId', data: z.object({ customerId: z.int(), name: z.string(), n: z.int() }) })
const Done = event('owner.rename-done', { key: 'customerId', data: z.object({ customerId: z.int(), n: z.int() }) })

interface Percentiles {
  readonly p50: number
  readonly p99: number
}
export interface RequestLatency {
  readonly requests: number
  /** Milliseconds from the commit of what was asked to its outcome, and on to the asker's copy. */
  readonly outcome: Percentiles
  readonly visible: Percentiles
  /** From the commit of an event to the handler of the event that answers it, in the same run: two messages, two handlers. */
  readonly events: Percentiles
  /** What an outcome takes of that. */
  readonly ratio: Percentiles
}

/** One at a time, by turns: a request, and two events there and back. Both teams are in this process, on two databases and a third for the bus. */
export async function requestLatency(requests: number): Promise<RequestLatency> {
  await using on = await stage()
  await withClient(on.owner, async (client) => {
    await client.query(CREATE_CUSTOMERS)
    await client.query(`insert into customers ${GENERATED}`, [1, 100])
  })
  const arrived = new Map<number, () => void>()
  const owner = team<Queryable>('owner', { database: on.owner, transport: on.bus })
    .owns(Customer, { table: 'customers' })
    .publishes(Done)
    .answers(Rename, async ({ data }, { tx }) => rename(tx, data))
    .on(Wished, async ({ data }, { tx, publish }) => {
      await rename(tx, data)
      await publish(Done, { customerId: data.customerId, n: data.n })
    })
  const asker = team<pg.PoolClient>('asker', { database: new pg.Pool({ connectionString: on.keeper }) as never, transport: on.bus })
    .keeps(Customer, { fields: ['name'] })
    .publishes(Wished)
    .asks(Rename)
    .on(Done, ({ data }) => arrived.get(data.n)?.())
  for (const one of [owner, asker]) {
    await one.migrate()
    await one.provision()
  }
  for (const one of [owner, asker]) await one.start()
  const pool = new pg.Pool({ connectionString: on.keeper, max: 2 })
  const transaction = async (work: (client: pg.PoolClient) => Promise<unknown>): Promise<void> => {
    const client = await pool.connect()
    await client.query('begin')
    await work(client)
    await client.query('commit')
    client.release()
  }

  const taken = { outcome: [] as number[], visible: [] as number[], events: [] as number[] }
  const warmUp = Math.ceil(requests / 10)
  for (let n = -warmUp; n < requests; n++) {
    const customerId = (Math.abs(n) % 100) + 1
    let id = ''
    await transaction(async (tx) => {
      id = (await asker.ask(tx, Rename, { customerId, name: `Requested ${n}` })).id
    })
    const asked = performance.now()
    const outcome = await asker.asked(Rename, id).outcome({ timeout: 60_000 })
    const decided = performance.now()
    if (outcome.state === 'accepted') await outcome.visible({ timeout: 60_000 })
    const visible = performance.now()
    const answer = new Promise<void>((resolve) => arrived.set(n, resolve))
    await transaction((tx) => asker.publish(tx, Wished, { customerId, name: `Wished ${n}`, n }))
    const wished = performance.now()
    await answer
    if (n < 0) continue
    taken.outcome.push(decided - asked)
    taken.visible.push(visible - asked)
    taken.events.push(performance.now() - wished)
  }
  for (const one of [owner, asker]) await one.stop()
  await pool.end()
  const [outcome, visible, events] = [percentiles(taken.outcome), percentiles(taken.visible), percentiles(taken.events)]
  return { requests, outcome, visible, events, ratio: { p50: round(outcome.p50 / events.p50), p99: round(outcome.p99 / events.p99) } }
}

async function rename(tx: Queryable, { customerId, name }: { readonly customerId: number; readonly name: string }): Promise<void> {
  await tx.query('update customers set name = $1::text where id = $2::int', [name, customerId])
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number => round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number)
  return { p50: at(0.5), p99: at(0.99) }
}
function round(value: number): number {
  return Math.round(value * 100) / 100
}
