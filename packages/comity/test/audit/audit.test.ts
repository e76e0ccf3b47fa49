/** Drift is found and named, key by key, and repaired, without one team reading another's database. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type AuditedTeams, auditedTeams } from './audited-teams.ts'

let on: AuditedTeams
beforeAll(async () => {
  on = await auditedTeams(300)
})
afterAll(() => on[Symbol.asyncDispose]())

test('a copy that is as its owner has it is true', async () => {
  expect(await on.audit()).toMatchObject({ verdict: 'true', findings: [], problem: null })
})

test('corruption of eight kinds is found, named and repaired', async () => {
  const { crm, marketing } = on
  await crm.db.query(`update customers set name = 'newer' where id = 'c50'`)
  await marketing.caughtUp()
  const run = (sql: string) => marketing.db.query(sql)
  await run(`delete from crm_customer where id = 'c1'`) // a missing row
  await run(`insert into crm_customer select 'extra', agency_id, email, name, score, comity_version from crm_customer where id = 'c2'`) // an extra row
  await run(`update crm_customer set name = 'Customer 50', comity_version = 1 where id = 'c50'`) // a stale version
  await run(`update crm_customer set score = score + 0.0000001 where id = 'c3'`) // one field changed
  await crm.db.query(`update customers set name = '' where id = 'c4'`)
  await marketing.caughtUp()
  await run(`update crm_customer set name = null where id = 'c4'`) // NULL for empty
  await run(`update crm_customer set email = upper(email) where id = 'c5'`) // case
  await run(`update crm_customer set email = name, name = email where id = 'c6'`) // swapped fields
  await run(`update crm_customer a set email = b.email, name = b.name, score = b.score, agency_id = b.agency_id
    from crm_customer b where (a.id, b.id) in (('c7', 'c8'), ('c8', 'c7'))`) // two rows exchanged
  const expected = [
    'c1: missing',
    'c3: different',
    'c4: different',
    'c50: stale',
    'c5: different',
    'c6: different',
    'c7: different',
    'c8: different',
    'extra: extra',
  ]
  const found = await on.audit()
  expect(found).toMatchObject({ verdict: 'drift', findings: expected.sort() })

  const repaired = await on.audit(undefined, { repair: true })
  expect(repaired).toMatchObject({ verdict: 'true', findings: expected })
  expect(new Set(repaired.after.map((one) => one.split(': ')[1]))).toEqual(new Set(['true']))
  expect((await marketing.db.query('select author, reason, keys, clean, ended_at is not null as ended from comity.repairs')).rows).toEqual([
    { author: 'a test', reason: 'to know', keys: 9, clean: 9, ended: true },
  ])
  expect(await on.audit()).toMatchObject({ verdict: 'true', findings: [] })
})
