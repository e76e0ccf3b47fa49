/** Drift is found and named, key by key, and repaired, without one team reading another's database. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { full } from '../../../../test/support/full.ts'
import { auditValues } from '../../src/admin/index.ts'
import { tellWanted } from '../../src/audit/wanted.ts'
import { connect } from '../../src/postgres/index.ts'
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
    'c5: different',
    'c50: stale',
    'c6: different',
    'c7: different',
    'c8: different',
    'extra: extra',
  ]
  const found = await on.audit()
  expect(found).toMatchObject({ verdict: 'drift', findings: expected })

  const status = await marketing.team.status()
  expect(status.replicas[0]?.audit).toMatchObject({ verdict: 'drift', named: 9 })
  expect(status.problems).toEqual([expect.stringContaining('9 rows of public.crm_customer are not as their owner has them')])

  const repaired = await on.audit(undefined, { repair: true })
  expect(repaired).toMatchObject({ verdict: 'true', findings: expected })
  expect(new Set(repaired.after.map((one) => one.split(': ')[1]))).toEqual(new Set(['true']))
  expect((await marketing.db.query('select author, reason, keys, clean, ended_at is not null as ended from comity.repairs')).rows).toEqual([
    { author: 'a test', reason: 'to know', keys: 9, clean: 9, ended: true },
  ])
  expect(await on.audit()).toMatchObject({ verdict: 'true', findings: [] })
  expect((await marketing.team.status()).problems).toEqual([])
})

test('a repair tells how many rows there are after it', async () => {
  await on.marketing.db.query(`delete from crm_customer where id in ('c60', 'c61')`)
  const { row, verdict } = await on.audit(undefined, { repair: true })
  expect({ verdict, ours: row.our_rows }).toEqual({ verdict: 'true', ours: row.their_rows })
})

test('an entity that is published by code, with a composite key and JSON, is compared from its heads', async () => {
  const { crm, marketing } = on
  for (let number = 1; number <= 5; number++)
    await on.seat({ row: 'A "x"', number, guest: null, tags: { vip: number === 1, ratio: [0.1, 1e21, number] } })
  expect(await on.audit('marketing.crm-seat')).toMatchObject({ verdict: 'true', row: { our_rows: '5', their_rows: '5' } })
  await marketing.db.query(`update crm_seat set tags = '{"vip": false, "ratio": [0.10, 1e21, 1.00000001]}' where number = 2`)
  await marketing.db.query(`update crm_seat set comity_version = 9007199254740991, guest = 'nobody' where number = 3`)
  await marketing.db.query(`update crm_seat set number = 44 where number = 4`)
  await marketing.db.query('delete from crm_seat where number = 1')
  await marketing.db.query(
    `insert into comity.tombstones (replica, key, version) values ('marketing.crm-seat', '["A \\"x\\"",1]', 9007199254740991)`,
  )
  const expected = [
    '["A \\"x\\"",1]: ahead',
    '["A \\"x\\"",2]: different',
    '["A \\"x\\"",3]: ahead',
    '["A \\"x\\"",44]: extra',
    '["A \\"x\\"",4]: missing',
  ]
  expect(await on.audit('marketing.crm-seat')).toMatchObject({ verdict: 'drift', findings: expected })
  // Which rows there are is seen without their fields.
  expect((await on.audit('marketing.crm-seat', { extent: 'keys' })).findings).toEqual([expected[0], ...expected.slice(3)])
  expect(await on.audit('marketing.crm-seat', { repair: true })).toMatchObject({ verdict: 'true', findings: expected })
  // The version that no history has was lowered: the owner's next change arrives.
  await on.seat({ row: 'A "x"', number: 3, guest: 'Ann', tags: {} })
  expect((await marketing.db.query('select guest from crm_seat where number = 3')).rows).toEqual([{ guest: 'Ann' }])
  await crm.db.transaction((tx) => tx.query(`select comity.publish('crm.seat', '{"row":"A \\"x\\"","number":5}', 'deleted')::text`))
  await marketing.caughtUp()
  expect(await on.audit('marketing.crm-seat')).toMatchObject({ verdict: 'true', row: { our_rows: '4', their_rows: '4' } })
})

test('values are shown on request only, and only to a role that may read the copy', async () => {
  const { crm, marketing } = on
  await crm.db.query(`update customers set name = 'the owner''s secret' where id = 'c30'`)
  await marketing.caughtUp()
  await marketing.db.query(`update crm_customer set name = 'a secret of ours', score = 1e21 where id = 'c30'`)
  await marketing.db.query(`delete from crm_customer where id = 'c31'`)
  const { id } = await on.audit()
  const { environment, declaration } = marketing.team
  expect(await auditValues(environment, declaration, id)).toEqual([
    {
      ...{ key: 'c30', here: true, owner: true },
      fields: [
        { field: 'name', here: 'a secret of ours', owner: `the owner's secret` },
        { field: 'score', here: '1e+21', owner: '3' },
      ],
    },
    expect.objectContaining({ key: 'c31', here: false, owner: true }),
  ])
  // Nothing of it stays.
  expect((await marketing.db.query('select 1 from comity.audit_answers')).rows).toEqual([])
  expect(JSON.stringify((await marketing.db.query('select * from comity.audit_findings')).rows)).not.toContain('secret')

  await marketing.db.query(`create role clerk_${process.pid} login; grant usage on schema comity to clerk_${process.pid};
    grant select on comity.audits, comity.audit_findings, comity.repairs, comity.replicas, comity.database, comity.migrations to clerk_${process.pid}`)
  const url = new URL(marketing.url)
  url.username = `clerk_${process.pid}`
  await using clerk = connect(url.href)
  await expect(auditValues({ ...environment, database: clerk as never }, declaration, id)).rejects.toMatchObject({
    code: 'COMITY_VALUES_NOT_ALLOWED',
    message: expect.stringContaining('connect as a role that may select from "public"."crm_customer"'),
  })
  expect(await on.audit(undefined, { repair: true })).toMatchObject({ verdict: 'true' })
})

test('what is withheld at the owner, and what waits here, is named as such and is no drift', async () => {
  const { crm, marketing } = on
  await crm.db.query(`update customers set score = 'NaN' where id = 'c20'`)
  await expect.poll(async () => (await crm.db.query('select 1 from comity.withheld where resolved_at is null')).rows.length).toBe(1)
  await marketing.db.query(`insert into comity.waiting_keys (subscription, key, reason) values ('marketing.crm-customer', 'c21', 'parked')`)
  await marketing.db.query(`update crm_customer set name = 'as it was before the message that waits' where id = 'c21'`)
  const found = await on.audit(undefined, { repair: true })
  expect(found).toMatchObject({ verdict: 'true', findings: ['c20: withheld', 'c21: waiting'], after: ['c20: null', 'c21: null'] })
  await marketing.db.query(`delete from comity.waiting_keys`)
  await crm.db.query(`update customers set score = 2 where id = 'c20'`)
  expect((await on.audit(undefined, { repair: true })).after).toEqual(['c21: true'])
})

test('no key is named while writers write, and a row that nobody writes is', { timeout: 600_000 }, async () => {
  const { crm, marketing } = on
  await marketing.db.query(`update crm_customer set email = 'corrupted' where id = 'c299'`)
  let writing = true
  const writers = [0, 1, 2, 3].map(async (writer) => {
    for (let n = 0; writing; n++) {
      const id = `c${1 + ((writer * 67 + n * 13) % 290)}`
      if (n % 7 === 3) await crm.db.query('delete from customers where id = $1::text', [id])
      await crm.db.query(
        `insert into customers values ($1::text, 'a1', $2::text, 'w', $3::float8) on conflict (id) do update set email = excluded.email, score = excluded.score`,
        [id, `${writer}-${n}@example.com`, n],
      )
    }
  })
  const found = []
  for (let n = 0; n < (full ? 100 : 3); n++) found.push(await on.audit())
  writing = false
  await Promise.all(writers)
  for (const { findings } of found) expect(findings.filter((one) => !one.endsWith(': moving'))).toEqual(['c299: different'])
  await marketing.caughtUp()
  expect(await on.audit(undefined, { repair: true })).toMatchObject({
    verdict: 'true',
    findings: ['c299: different'],
    after: ['c299: true'],
  })
})

test('a copy is compared by itself, and repaired, when its owner, or its own team, has begun another life', async () => {
  const { crm, marketing, speaker } = on
  await marketing.db.query(`update crm_customer set name = 'of a history that is lost' where id = 'c40'`)
  const of = async (cause: string) =>
    (await marketing.db.query('select replica, author, verdict from comity.audits where cause = $1::text order by replica', [cause])).rows
  expect(await of('incarnation')).toEqual([])
  await tellWanted(crm.db, speaker)
  await crm.db.query(`insert into comity.incarnations (identity, first_version, last_survived) values ('restored', 1, 0)`)
  await tellWanted(crm.db, speaker)
  await tellWanted(crm.db, speaker) // told once
  const expected = ['marketing.crm-customer', 'marketing.crm-seat'].map((replica) => ({ replica, author: 'crm', verdict: 'true' }))
  await expect.poll(() => of('incarnation'), { timeout: 60_000 }).toEqual(expected)
  const named = `select f.key, f.class, f.after from comity.audits a join comity.audit_findings f on f.audit = a.id where a.cause = 'incarnation'`
  expect((await marketing.db.query(named)).rows).toEqual([{ key: 'c40', class: 'different', after: 'true' }])
})

test('copies are told once that their owner has filled the broker again, or has not announced everything', async () => {
  const { crm, marketing, speaker } = on
  const causes = async () =>
    (
      await marketing.db.query(
        `select distinct cause, repair from comity.audits where author = 'crm' and cause <> 'incarnation' order by cause`,
      )
    ).rows
  await crm.db.query(
    `insert into comity.operations (id, kind, arguments, author, reason, origin, done_at, outcome)
     values (gen_random_uuid(), 'rebuild-transport', '{}', 'ann', 'the broker was lost', 'cli', clock_timestamp(), '{}')`,
  )
  await tellWanted(crm.db, speaker)
  await expect.poll(causes, { timeout: 60_000 }).toEqual([{ cause: 'transport', repair: true }])
  await crm.db.query(
    `update comity.captures set unannounced_since = clock_timestamp(), released_at = null, captured_at = clock_timestamp()`,
  )
  await tellWanted(crm.db, speaker)
  await tellWanted(crm.db, speaker)
  await expect.poll(causes, { timeout: 60_000 }).toEqual([
    { cause: 'gap', repair: true },
    { cause: 'transport', repair: true },
  ])
  await crm.db.query('update comity.captures set unannounced_since = null')
  // A copy that this database has forgotten is told when it asks for something.
  await crm.db.query('delete from comity.audit_copies; delete from comity.backfills')
  await on.audit('marketing.crm-seat')
  const { rows } = await crm.db.query(`select replica, told_at = '-infinity' as untold from comity.audit_copies`)
  expect(rows).toContainEqual({ replica: 'marketing.crm-seat', untold: true })
})

test('an audit whose process has ended is begun anew by another one', async () => {
  const { marketing } = on
  await marketing.db.query(
    `insert into comity.audits (replica, cause, author, reason, state, holder, held_until)
     values ('marketing.crm-seat', 'operator', 'ann', 'left behind', 'settling', 'a process that is gone', clock_timestamp() + interval '300 milliseconds')`,
  )
  const left = async () => (await marketing.db.query(`select state, verdict from comity.audits where reason = 'left behind'`)).rows
  await expect.poll(left, { timeout: 60_000 }).toEqual([{ state: 'ended', verdict: 'true' }])
})
