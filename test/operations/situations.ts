import pg from 'pg'
import { until } from '../chaos/until.ts'
import type { World } from './world.ts'

/** Resolves, when it has happened, with the values that its sentence names, if it names any. */
type Happening = (world: World) => Promise<unknown>

async function waits(world: World, lines: number): Promise<void> {
  await until(`${lines} lines`, async () => {
    const { rows } = await world.crm.query('select count(*)::int as n from comity.waiting_keys')
    return rows[0].n === lines
  })
}
async function breakFor(world: World, ...customers: string[]): Promise<void> {
  await world.crm.query('insert into broken select unnest($1::text[]) on conflict do nothing', [customers])
}
async function filled(world: World): Promise<void> {
  await until('the copy is filled', async () => {
    const { rows } = await world.marketing.query(`select from comity.asked_backfills where state <> 'ready'`)
    return rows.length === 0
  })
}
async function mend(world: World): Promise<void> {
  await world.crm.query('delete from broken')
}
/** As the server's own words have it. */
async function now(world: World): Promise<string> {
  const { rows } = await world.crm.query(`select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as now`)
  return rows[0].now
}
let forgotten: pg.Client | undefined

/** What the `#` lines of docs/operations.md make happen, for real: the sentence, and how. */
export const SITUATIONS: Readonly<Record<string, Happening>> = {
  async 'three customers are written while no process of marketing runs'(world) {
    await world.stop('marketing')
    await world.insertCustomers('ada', 'bob', 'eve')
    await world.settled()
  },
  async 'a process of marketing is started'(world) {
    await world.start('marketing')
    await filled(world)
    await world.settled()
  },
  /* A process reports what it sees of itself, every few seconds; this one's handler hangs. */
  async 'a handler of crm hangs on another host'(world) {
    await world.crm.query(
      `insert into comity.processes (holder, pid, host, library, progress) values ('crm-2:17:4f1c', 17, 'crm-2', '0.1.0',
         '{"subscriptions":{"crm.marketing-email-sent":{"state":"stuck","inFlight":3,"ended":41}}}')`,
    )
  },
  async 'that process is restarted'(world) {
    await world.crm.query(`delete from comity.processes where holder = 'crm-2:17:4f1c'`)
  },
  async 'emails to bob and eve fail for good, and another one to bob comes'(world) {
    await breakFor(world, 'bob', 'eve')
    await world.send('ada')
    // One after the other: the list has them in this order.
    for (const [n, customer] of ['bob', 'eve'].entries()) {
      await world.send(customer)
      await waits(world, n + 1)
    }
    await world.send('bob')
    await world.settled()
  },
  async 'bob is known to the third party now'(world) {
    await world.crm.query(`delete from broken where customer = 'bob'`)
  },
  async 'a deploy of crm breaks every email'(world) {
    await mend(world)
    await breakFor(world, 'all')
    for (let n = 1; n <= 30; n++) await world.send(`customer-${n}`)
    await until('it opens', async () => (await world.crm.query('select from comity.pauses')).rows.length > 0)
    await world.crm.query(`update comity.pauses set probe_at = now() + interval '1 hour'`)
    await world.settled()
  },
  async 'the deploy is rolled back'(world) {
    await mend(world)
  },
  async 'agency-9 sends a hundred emails at once'(world) {
    for (let n = 1; n <= 100; n++) await world.send(`customer-${n % 20}`, 'agency-9')
    await until(
      'they are in their lines',
      async () => (await world.crm.query('select count(*)::int as n from comity.waiting')).rows[0].n >= 100,
    )
    await world.settled()
  },
  async 'its lines have run'(world) {
    await waits(world, 0)
    await world.settled()
  },
  async 'the broker does not answer'(world) {
    world.bus.disturb({ kind: 'reset' })
    await world.insertCustomers('ada')
  },
  async 'the broker is back'(world) {
    world.bus.disturb({ kind: 'none' })
    // It receives again.
    await world.send('ada')
    await world.settled()
  },
  async 'somebody has left a transaction open, and a customer is written two minutes ago: pid VALUE'(world) {
    forgotten = new pg.Client({ connectionString: process.env.CRM_URL, application_name: 'import' })
    forgotten.on('error', () => undefined)
    await forgotten.connect()
    await forgotten.query('begin')
    await forgotten.query(`insert into customers values ('zoe', 'agency-7', 'zoe@example.com', 'Zoe')`)
    await world.insertCustomers('ada')
    await world.crm.query(`update comity.outbox o set time = time - interval '2 minutes' from comity.checkpoint c where o.id > c.id`)
    const { rows } = await forgotten.query('select pg_backend_pid() as pid')
    await until(
      'it is open for a second',
      async () => (await world.crm.query('select from comity.outbox_holders() where seconds >= 1')).rows.length > 0,
    )
    return [String(rows[0].pid)]
  },
  async 'the relay goes on'(world) {
    await forgotten?.end().catch(() => undefined)
    await world.settled()
  },
  async 'a customer gets an address that is none, and an email is sent without its agency'(world) {
    await world.crm.query(`update customers set email = 'nowhere' where id = 'eve'`)
    await world.marketing.query(`select comity.publish('marketing.email-sent', '{"customerId":"eve","agencyId":7}')`)
    await world.settled()
    for (const client of [world.crm, world.marketing])
      await until(
        'it is withheld',
        async () => (await client.query('select from comity.withheld where resolved_at is null')).rows.length > 0,
      )
  },
  async 'the row is put right'(world) {
    await world.crm.query(`update customers set email = 'eve@example.com' where id = 'eve'`)
    await world.settled()
    await until(
      'it is superseded',
      async () => (await world.crm.query('select from comity.withheld where resolved_at is null')).rows.length === 0,
    )
  },
  async 'crm lost what it had written since VALUE'(world) {
    await mend(world)
    const at = await now(world)
    await world.send('ada')
    await world.settled()
    await world.crm.query('truncate written_back')
    return [at]
  },
  async 'it has been handled again'(world) {
    await until('again', async () => (await world.crm.query('select from written_back')).rows.length > 0)
    await world.settled()
  },
  async 'older code declared audit and mails, which no code does any more'(world) {
    await world.stop('crm')
    const { default: older } = await import('./agency/older.config.ts')
    await world.start('crm', () => older)
    await world.stop('crm')
    await world.send('ada')
    await world.start('crm')
    await world.settled()
  },
  async 'crm.journal is taken out of the code, too'(world) {
    await world.stop('crm')
  },
  async 'the code that declares crm.journal is deployed'(world) {
    await world.stop('crm')
    const { default: newer } = await import('./agency/newer.config.ts')
    await world.start('crm', () => newer)
    await world.settled()
  },
  async 'crm is stopped, its database is put back to the backup of VALUE, and it is started'(world) {
    const restore = await world.backUp()
    const at = await now(world)
    await world.crm.query('truncate written_back')
    await world.send('ada')
    await world.settled()
    await restore()
    await until('again', async () => (await world.crm.query('select from written_back')).rows.length > 0)
    await world.settled()
    return [at]
  },
  async 'an email was sent, and the log of marketing names it: VALUE'(world) {
    const id = await world.send('ada')
    await world.settled()
    return [id]
  },
  async 'another one was sent: VALUE'(world) {
    await breakFor(world, 'bob')
    const id = await world.send('bob')
    await waits(world, 1)
    await world.settled()
    return [id]
  },
  async "marketing's copy has been compared with what crm has now"(world) {
    await until('an audit for that reason has ended, and no other one is open', async () => {
      const { rows } = await world.marketing.query(
        `select count(*) filter (where cause = 'incarnation' and state = 'ended')::int as ended, count(*) filter (where state <> 'ended')::int as open
         from comity.audits`,
      )
      return rows[0].ended > 0 && rows[0].open === 0
    })
  },
  async "somebody changes a name in marketing's copy by hand, and deletes another row there"(world) {
    await world.settled()
    await world.marketing.query(`update crm_customer set name = 'Bobby' where id = 'bob'`)
    await world.marketing.query(`delete from crm_customer where id = 'eve'`)
  },
  'it is filled': filled,
  async 'the application deletes eve'(world) {
    await world.crm.query(`delete from customers where id = 'eve'`)
    await world.settled()
  },
}
