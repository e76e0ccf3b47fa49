/** What the doctor finds, and that the least role may read everything that operators ask for. */
import { entity, event } from '@comity/contract'
import { type Queryable, team } from 'comity'
import {
  type Diagnosis,
  deadLetterGroups,
  doctor,
  type Environment,
  exportDeadLetters,
  listDeadLetters,
  listJobs,
  listOperations,
  listSubscriptions,
  listTenants,
  teamRolesSql,
  trace,
} from 'comity/admin'
import { type TestTeam, testBus } from 'comity/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { pooler } from '../../src/admin/checks/pooler.ts'
import { connect } from '../../src/postgres/index.ts'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string() }) })
const Called = event('sales.called', { key: 'customerId', data: z.object({ customerId: z.string() }) })

let marketing: TestTeam<Queryable>
beforeAll(async () => {
  marketing = await testTeam(
    team('marketing')
      .keeps(Customer, { fields: ['email'] })
      .on(Called, async () => undefined),
    { bus: testBus(), url: (await freshDatabase({ migrated: true })).url },
  )
})
afterAll(() => marketing[Symbol.asyncDispose]())

function found({ checks }: Diagnosis, name: string): readonly string[] {
  return (
    checks
      .find((check) => check.name === name)
      ?.findings.map(({ level, found, remedy }) => `${level}: ${found}${remedy === null ? '' : ` → ${remedy}`}`) ?? []
  )
}
function examine(more: Partial<Environment> = {}): Promise<Diagnosis> {
  const { environment, declaration } = marketing.team
  const { team: name, namespace, database, transport, allowUnsafe, autoMigrate, allowEdit, logger } = environment
  return doctor(declaration, {
    team: name,
    namespace,
    database,
    transport,
    allowUnsafe,
    autoMigrate,
    allowEdit,
    logger,
    ...more,
  } as Environment)
}

test('what is as it should be is said to be so, and what is not has a remedy', async () => {
  const diagnosis = await examine()
  expect(diagnosis.level).toBe('warning')
  expect(diagnosis.checks.map(({ name }) => name)).toEqual([
    ...['server', 'pooler', 'clock', 'installation', 'role', 'transactions', 'partitions', 'contracts', 'status'],
  ])
  expect(found(diagnosis, 'server').join('\n')).toMatch(/warning: fsync is off: .* → turn it on outside of tests/)
  expect(found(diagnosis, 'pooler')).toEqual(['ok: none that shares backends between transactions'])
  expect(found(diagnosis, 'clock')).toEqual(['ok: within a second of the database’s'])
  expect(found(diagnosis, 'installation')).toEqual(['ok: migrated for this code, and every capture is whole'])
  expect(found(diagnosis, 'transactions')).toEqual(['ok: none was forgotten open, and no replication slot is abandoned'])
  expect(found(diagnosis, 'partitions').join('\n')).toMatch(/ok: comity.inbox takes \d+ MiB in \d+ partitions/)
  expect(found(diagnosis, 'status').join('\n')).toMatch(/^ok: 2 subscriptions/)
})

test('a production that could lose what it announced is an error', async () => {
  expect(found(await examine({ allowUnsafe: false }), 'server').join('\n')).toMatch(/error: fsync is off: .* → turn it on/)
})

test('a database that can not be reached, and one without Comity, are told apart', async () => {
  await using absent = connect('postgres://nobody@127.0.0.1:1/none', { connectionTimeout: '1s' })
  const unreachable = await examine({ database: absent })
  expect(unreachable.checks).toMatchObject([{ name: 'server', findings: [{ level: 'error' }] }])
  await using empty = connect((await freshDatabase()).url)
  const notInstalled = await examine({ database: empty })
  expect(found(notInstalled, 'installation').join()).toMatch(/^error: .*it has no schema "comity" → run "comity migrate"/)
  expect(notInstalled.checks.map(({ name }) => name)).not.toContain('role')
})

test('days that nobody cuts ahead, and indexes of versions that jump, are found', async () => {
  await marketing.db.query(`update comity.partitions set lower_bound = '2020-01-01' where parent = 'inbox' and upper_bound is null`)
  expect(found(await examine(), 'partitions').join('\n')).toMatch(
    /warning: comity.inbox .* none is there for tomorrow → start "comity run"/,
  )
  await marketing.db.query('alter sequence comity.outbox_id cache 20')
  expect(found(await examine(), 'installation').join()).toMatch(/error: .*CACHE 20.* → run: alter sequence comity.outbox_id cache 1/)
  await marketing.db.query('alter sequence comity.outbox_id cache 1')
})

test('what "comity status" names is passed on', async () => {
  await marketing.db.query(
    `insert into comity.subscriptions (name, topic, kind, lanes) values ('marketing.old', 'sales.called', 'handler', 1)`,
  )
  expect(found(await examine(), 'status').join('\n')).toMatch(/warning: no code declares marketing.old any more/)
})

test('two connections with one backend have a pooler in transaction mode in between', async () => {
  const { environment, declaration } = marketing.team
  const session = <Result>(work: (sql: unknown) => Promise<Result>) => work({ query: async () => ({ rows: [{ pid: 7 }] }) })
  const database = Object.assign(Object.create(environment.database), { session })
  const findings = await pooler.look(declaration, { ...environment, database } as Environment)
  expect(findings).toMatchObject([{ level: 'warning', found: expect.stringContaining('a pooler in transaction mode') }])
})

test('the role of a runner may read all of it; what it lacks is printed as it has to be granted', async () => {
  const { declaration, environment } = marketing.team
  const role = `runner_${Date.now()}`
  const sql = teamRolesSql(declaration, { namespace: environment.namespace })
    .replaceAll('marketing_runner', role)
    .replaceAll('marketing_writer', `${role}_writer`)
  await marketing.db.session((session) => session.query(sql))
  const url = new URL(marketing.url)
  url.username = role
  await using database = connect(url.href)
  expect(found(await examine({ database }), 'role')).toEqual([`ok: ${role} has the rights of a runner`])

  const { team: name, namespace, transport, logger } = environment
  const asRunner = { team: name, namespace, transport, logger, database, allowUnsafe: true } as unknown as Environment
  await listSubscriptions(declaration, asRunner)
  for (const list of [listDeadLetters, deadLetterGroups, listTenants]) expect((await list(asRunner)).items).toEqual([])
  for (const list of [listJobs, listOperations]) expect(await list(asRunner)).toEqual([])
  for await (const letter of exportDeadLetters(asRunner, {}, { data: true })) expect(letter).toBeUndefined()
  await expect(trace([asRunner], 'marketing-7')).rejects.toMatchObject({ code: 'COMITY_MESSAGE_UNKNOWN' })

  await marketing.db.query(`revoke select on comity.pauses, comity.waiting_seq from ${role}`)
  await marketing.db.query(`revoke insert on comity.inbox from ${role}`)
  await marketing.db.query(`revoke update (code) on comity.withheld from ${role}`)
  await marketing.db.query(`revoke execute on function comity.horizon() from ${role}`)
  const [lacking = ''] = found(await examine({ database }), 'role')
  const grants = lacking.slice(lacking.indexOf('→ ') + 2).split('\n')
  expect(grants.map((grant) => grant.replaceAll('"', ''))).toEqual([
    `grant execute on function comity.horizon() to ${role};`,
    `grant update (code) on comity.withheld to ${role};`,
    `grant insert on comity.inbox to ${role};`,
    `grant select on comity.pauses to ${role};`,
  ])
  for (const grant of grants) await marketing.db.query(grant)
  expect(found(await examine({ database }), 'role')).toEqual([`ok: ${role} has the rights of a runner`])
})
