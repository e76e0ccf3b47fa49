/** The second table of a rebuild is nobody's but the rebuild's: whatever ends that, it goes, or is taken over. */
import { randomUUID } from 'node:crypto'
import type { JsonValue } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { operate, replicaRebuild, uninstall } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { connect } from '../../src/postgres/index.ts'
import { copied, newCrm, newMarketing, owned, ready } from '../backfill/customers.ts'

const replica = 'marketing.crm-customer'
async function act({ environment, declaration }: Team<Queryable>, kind: string, args: object = {}): Promise<JsonValue> {
  const request = { id: randomUUID(), kind, arguments: { replica, ...args } as JsonValue, author: 'ann', reason: 'a test' }
  const { outcome, error } = await operate(environment, declaration, { ...request, origin: 'cli' })
  return error === null ? outcome : `${error.code}: ${error.message}`
}
const TABLES = `select relname::text as name from pg_class where relkind = 'r' and relname like 'comity\\_rebuilt%'`

test('what an interrupted rebuild left is taken over or replaced, and goes with its copy and with Comity', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 30 })
  const url = (await freshDatabase()).url
  await using db = connect(url)
  const tables = async () => (await db.query<{ name: string }>(TABLES)).rows.map(({ name }) => name)
  {
    await using marketing = await newMarketing(bus, { url })
    await ready(db)
    // Left by one that nothing knows any more, in another shape.
    await db.query(`do $$ begin execute format('create table comity_rebuilt_%s (other int)', 'crm_customer'::regclass::oid); end $$`)
    await db.query(
      `insert into comity.pauses (subscription, tenant, reason, author, by) values ($1::text, '', 'a test', 'ann', 'operator')`,
      [replica],
    )
    expect(await act(marketing.team, 'rebuild-replica')).toMatchObject({ begun: true })
  }
  // The team's process has ended, and so has the command. Another one of both goes on.
  await db.query('delete from comity.pauses')
  {
    await using marketing = await newMarketing(bus, { url })
    expect(await act(marketing.team, 'rebuild-replica')).toMatchObject({ begun: false })
    await expect.poll(async () => (await replicaRebuild(marketing.team.environment, replica)).state, { timeout: 30_000 }).toBe('ready')
    await expect
      .poll(() => act(marketing.team, 'switch-replica').catch(({ code }: { code: string }) => code), { timeout: 20_000 })
      .toMatchObject({ replica })
    expect(await copied(db)).toEqual(await owned(crm.db))
    // Somebody took it for rubbish: it can still be given up.
    expect(await act(marketing.team, 'rebuild-replica')).toMatchObject({ begun: true })
    await db.query(`drop table ${(await tables())[0]}`)
    expect(await act(marketing.team, 'cancel-rebuild')).toEqual({ replica })
    expect(await act(marketing.team, 'rebuild-replica')).toMatchObject({ begun: true })
  }
  const [name] = await tables()
  expect(name).toMatch(/^comity_rebuilt_\d+$/)
  const now = team<Queryable>('marketing', { database: url, transport: bus.memory.connect(), allowUnsafe: true })
  await db.query('update comity.leases set expires_at = clock_timestamp()')
  const report = await uninstall(now.declaration, now.environment, { dryRun: true })
  expect(report.steps).toContain(`drop public.${name}, which a rebuild was filling`)
  await uninstall(now.declaration, now.environment)
  expect(await tables()).toEqual([])
  expect(await copied(db)).toHaveLength(30)
  await now.stop()
})

test('a copy that is taken away as an orphan leaves its own table, and not the other one', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 3 })
  const url = (await freshDatabase()).url
  await using db = connect(url)
  {
    await using marketing = await newMarketing(bus, { url })
    await ready(db)
    expect(await act(marketing.team, 'rebuild-replica')).toMatchObject({ begun: true })
  }
  const now = team<Queryable>('marketing', { database: url, transport: bus.memory.connect(), allowUnsafe: true })
  const request = { id: randomUUID(), kind: 'remove-subscription', arguments: { subscription: replica, messages: 0 } }
  const { error } = await operate(now.environment, now.declaration, { ...request, author: 'ann', reason: 'a test', origin: 'cli' })
  expect(error).toBe(null)
  expect((await db.query(TABLES)).rows).toEqual([])
  expect(await copied(db)).toEqual(await owned(crm.db))
  await now.stop()
})
