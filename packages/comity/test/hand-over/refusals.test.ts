import { entity, InvalidContract, InvalidName, request } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { act } from '../admin/act.ts'
import { eventually } from '../control/eventually.ts'
import { After, Before, copied, give, keeping, options, owning, ready, rowsOf, TABLE, Teams, takeable, told } from './teams.ts'

const teams = new Teams()
afterEach(() => teams.stopAll())

const FILLED = `${TABLE}; insert into customers values ('c1', 'a1', 'one@x.org', 'One') on conflict do nothing`
const handOver = (one: { readonly team: Team<Queryable> }, args: object = { entity: 'crm.customer', to: 'accounts' }) =>
  act(one.team as never, 'hand-over', args)

describe('an entity is not given', () => {
  test('by a team that does not own it, to itself, or to a team that keeps no copy of all of it', async () => {
    const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
    await expect(handOver(crm, { entity: 'crm.invoice', to: 'accounts' })).rejects.toThrow('does not own it')
    await expect(handOver(crm, { entity: 'crm.customer', to: 'crm' })).rejects.toMatchObject({ code: 'COMITY_HAND_OVER_REFUSED' })
    await expect(handOver(crm)).rejects.toThrow('no copy of it')
    await teams.run(keeping('accounts', Before, ['email']), await teams.place())
    await eventually('the map', () =>
      handOver(crm).then(
        () => undefined,
        (error: Error) => (error.message.includes('its copy has no name') ? error : undefined),
      ),
    )
  })

  test('while another team is asked about it here, something of it is withheld, or a copy is being filled; nor twice', async () => {
    const Rename = request('crm.rename', { entity: Before, key: 'id', data: z.object({ id: z.string() }) })
    const at = await teams.place()
    const answering = await teams.run(
      owning('crm', Before).answers(Rename, async () => undefined as never),
      at,
      FILLED,
    )
    await expect(handOver(answering)).rejects.toThrow('answers crm.rename')
    await teams.stop(answering)
    const crm = await teams.run(owning('crm', Before), at)
    const accounts = await teams.run(keeping('accounts', Before), await teams.place())
    await copied(accounts, 'one@x.org')
    await crm.db.query(
      `insert into comity.withheld (id, topic, key, kind, time, code, reason) values (1, 'crm.customer', 'c1', 'updated', now(), 'X', 'x')`,
    )
    await eventually('it is heard of', () =>
      handOver(crm).catch((error: Error) => (error.message.includes('c1 is withheld') ? error : undefined)),
    )
    await crm.db.query('delete from comity.withheld')
    await eventually('its copy is filled', async () => (await crm.db.query(`select from comity.backfills where state = 'done'`)).rows[0])
    await crm.db.query(
      `insert into comity.backfills (id, asked_by, replica, entity, fields, state) values (gen_random_uuid(), 'sales', 'sales.customer', 'crm.customer', '[]', 'paused')`,
    )
    await expect(handOver(crm)).rejects.toThrow('sales.customer is being filled')
    await crm.db.query(`delete from comity.backfills where asked_by = 'sales'`)
    await handOver(crm)
    // Said once more to the same team, to nobody else.
    await crm.db.query('update comity.hand_overs set told_at = now()')
    await handOver(crm)
    expect((await crm.db.query('select version from comity.hand_overs')).rows).toHaveLength(1)
    await told(crm)
    await crm.db.query(
      `insert into comity.catalog_fields (team, subscription, contract, field, copied_to, since)
       select 'sales', 'sales.crm-customer', contract, field, copied_to, since from comity.catalog_fields where team = 'accounts'`,
    )
    await crm.db.query(`update comity.backfills set asked_by = 'sales', replica = 'sales.crm-customer'`)
    await expect(handOver(crm, { entity: 'crm.customer', to: 'sales' })).rejects.toThrow('handed over to accounts already')
  })

  test('in front of a writer: it gives up soon, and nothing has happened', async () => {
    const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
    const accounts = await teams.run(keeping('accounts', Before), await teams.place())
    await copied(accounts, 'one@x.org')
    const writer = await crm.db.query('select 1').then(() => crm.db)
    await writer.transaction(async (tx) => {
      await writer.join(tx).query(`update customers set name = 'Late'`)
      await eventually('it is heard of', () =>
        handOver(crm).then(
          () => undefined,
          (error: { code?: string }) => (error.code === '55P03' ? error : undefined),
        ),
      )
    })
    expect((await crm.db.query('select from comity.hand_overs')).rows).toEqual([])
    await give(crm)
    await copied(accounts, 'one@x.org')
    await eventually('the writer’s change', async () =>
      ((await rowsOf(accounts)) as { name: string }[]).find(({ name }) => name === 'Late'),
    )
  })
})

describe('an entity is not taken', () => {
  test('before it was given, with a copy of less, or while something of it is on its way', async () => {
    const at = await teams.place()
    const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
    const accounts = await teams.run(keeping('accounts', Before), at)
    await copied(accounts, 'one@x.org')
    const taking = (table = 'customers'): Team<Queryable> =>
      team<Queryable>('accounts')
        .owns(After, { table })
        .with<Queryable>({ database: at.url, transport: at.bus.memory.connect(), allowUnsafe: true })
    await expect(taking().migrate()).rejects.toMatchObject({
      code: 'COMITY_TAKE_OVER_REFUSED',
      message: expect.stringContaining('has not heard that its owner has handed it over'),
    })
    await expect(taking('people').migrate()).rejects.toThrow('its copy is in public.customers')
    await expect(taking().start()).rejects.toMatchObject({ code: 'COMITY_NOT_MIGRATED' })
    await ready(accounts)
    await teams.stop(accounts)
    await give(crm)
    await expect(taking().migrate()).rejects.toThrow('not heard')

    const again = await teams.run(keeping('accounts', Before), at)
    await takeable(again)
    await teams.stop(again)
    const before = taking()
    await before.environment.database.query(
      `insert into comity.waiting_keys (subscription, key, reason, lane) values ('accounts.crm-customer', 'c1', 'parked', 0)`,
    )
    await before.environment.database.query(
      `insert into comity.waiting (subscription, generation, key, reason, message, time, attributes, data) values ('accounts.crm-customer', 1, 'c1', 'parked', 'crm-1', now(), '{}', '{}')`,
    )
    await expect(before.migrate()).rejects.toThrow('1 messages wait in accounts.crm-customer')
    await before.environment.database.query('delete from comity.waiting_keys')
    await before.environment.database.query(`update comity.marks set version = 1 where bucket = 0`)
    await expect(before.migrate()).rejects.toThrow('on their way')
    await before.environment.database.query(`update comity.marks set version = comity.clock_id()`)
    expect((await before.migrate()).applied).toContainEqual(expect.stringContaining('take crm.customer over'))
    expect((await before.migrate()).applied).toEqual([])
    await before.stop()
  })

  test('with a copy that is not whole, or that something stands on; nor without a word of who owned it before', async () => {
    const at = await teams.place()
    const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
    const accounts = await teams.run(keeping('accounts', Before), at)
    await ready(accounts)
    const code = (customer: typeof Before): Team<Queryable> =>
      owning('accounts', customer).with<Queryable>({ database: at.url, transport: at.bus.memory.connect(), allowUnsafe: true })
    const Silent = entity('crm.customer', { ...options, owner: 'accounts' })
    await expect(code(Silent as unknown as typeof Before).migrate()).rejects.toThrow('this team keeps a copy of it')
    await give(crm)
    await takeable(accounts)
    await teams.stop(accounts)
    const next = code(After as unknown as typeof Before)
    const db = next.environment.database
    await db.query('create view seen as select * from customers')
    await expect(next.migrate()).rejects.toThrow(/comity_version of public.customers .* seen/)
    await db.query('drop view seen')
    await db.query(`update comity.asked_backfills set state = 'cancelled'`)
    await expect(next.migrate()).rejects.toThrow('filling it has ended as cancelled')
    await act(next as never, 'accept-copy', { replica: 'accounts.crm-customer' })
    await expect(act(next as never, 'accept-copy', { replica: 'accounts.crm-customer' })).rejects.toMatchObject({
      code: 'COMITY_COPY_NOT_ACCEPTED',
    })
    await next.migrate()
    await next.stop()
  })

  test('a team that has never kept a copy owns it from the start, as in a new environment', async () => {
    const accounts = await teams.run(owning('accounts', After), await teams.place(), FILLED)
    const reader = await teams.run(keeping('marketing', After), await teams.place())
    await copied(reader, 'one@x.org')
    await accounts.db.query(`update customers set email = 'two@x.org'`)
    await copied(reader, 'two@x.org')
  })
})

test('who had it erases nothing of it any more, and fills no copy', async () => {
  const crm = await teams.run(owning('crm', Before), await teams.place(), FILLED)
  const accounts = await teams.run(keeping('accounts', Before), await teams.place())
  await copied(accounts, 'one@x.org')
  await ready(accounts)
  await give(crm)
  await expect(act(crm.team as never, 'erase', { topic: 'crm.customer', key: 'c1' })).rejects.toMatchObject({
    code: 'COMITY_ENTITY_HANDED_OVER',
  })
  const sales = await teams.run(keeping('sales', Before), await teams.place())
  const refused = await eventually('the refusal', async () => {
    const { rows } = await sales.db.query<{ state: string; reason: string | null }>('select state, reason from comity.asked_backfills')
    return rows[0]?.state === 'failed' || rows[0]?.reason ? rows[0] : undefined
  })
  expect(JSON.stringify(refused)).toContain('belongs to accounts now')
  expect(await rowsOf(sales)).toEqual([])
  // Nor that of the team that gets it: somebody may have written the table after that, and only one copy would say it.
  await crm.db.query(`update customers set email = 'too-late@x.org'`)
  await act(accounts.team as never, 'backfill-start', { replica: 'accounts.crm-customer' })
  await eventually('the other refusal', async () => {
    const { rows } = await accounts.db.query<{ said: string }>('select a::text as said from comity.asked_backfills a')
    return rows.find(({ said }) => said.includes('belongs to accounts now'))
  })
  expect(await rowsOf(accounts)).toMatchObject([{ email: 'one@x.org' }])
})

test('a contract names the teams that owned it before', () => {
  const make = (former: unknown, owner = 'accounts') =>
    entity('crm.customer', { key: 'id', state: z.object({ id: z.string() }), owner, former: former as string[] })
  expect(make(['crm']).former).toEqual(['crm'])
  expect(make([])).not.toHaveProperty('former')
  expect(() => make('crm')).toThrow(InvalidContract)
  expect(() => make(['Crm'])).toThrow(InvalidName)
  expect(() => make(['crm', 'accounts'])).toThrow(InvalidContract)
  expect(() => make(['crm', 'crm'])).toThrow(InvalidContract)
})
