import { afterEach, beforeEach, expect, it } from 'vitest'
import { onEachPostgres } from '../../../../../test/support/postgres.ts'
import { captureProblems, captureSql, inspectTable, planCapture, runWithLockTimeout } from '../../../src/outbox/capture/index.ts'
import { type CapturedDatabase, capturedDatabase, integer, plainEntity, string } from './captured-database.ts'

const Visit = plainEntity(['id', 'day'], { id: integer, day: { type: 'string', format: 'date' }, place: string }, undefined, 'crm.visit')

onEachPostgres('a captured partitioned table', (server) => {
  let crm: CapturedDatabase
  const recapture = async (): Promise<void> =>
    runWithLockTimeout(crm.db, captureSql(planCapture(Visit, await inspectTable(crm.db, 'visits'))))
  beforeEach(async () => {
    crm = await capturedDatabase(server)
    await crm.run(
      'create table visits (id int, day date, place text not null, primary key (id, day)) partition by range (day)',
      `create table visits_25 partition of visits for values from ('2025-01-01') to ('2026-01-01')`,
      `create table visits_26 partition of visits for values from ('2026-01-01') to ('2027-01-01') partition by hash (id)`,
      'create table visits_26a partition of visits_26 for values with (modulus 2, remainder 0)',
      // Attached, with its columns in another order and one that was dropped.
      'create table visits_26b (place text not null, gone int, day date not null, id int not null)',
      'alter table visits_26b drop column gone',
      'alter table visits_26 attach partition visits_26b for values with (modulus 2, remainder 1)',
    )
    await crm.capture(Visit, 'visits')
  })
  afterEach(() => crm[Symbol.asyncDispose]())

  it('announces a statement on the parent once, whatever partitions it touches', async () => {
    await crm.run(
      `insert into visits select i, date '2025-12-30' + i, 'p' from generate_series(1, 4) i`,
      `update visits set place = 'q'`,
      `update visits set day = day + 10 where id = 1`,
      'delete from visits where id < 3',
      'truncate visits',
    )
    expect(await crm.kinds()).toEqual([
      'created [1,"2025-12-31"]',
      'created [2,"2026-01-01"]',
      'created [3,"2026-01-02"]',
      'created [4,"2026-01-03"]',
      'updated [1,"2025-12-31"]',
      'updated [2,"2026-01-01"]',
      'updated [3,"2026-01-02"]',
      'updated [4,"2026-01-03"]',
      'deleted [1,"2025-12-31"]',
      'created [1,"2026-01-10"]',
      'deleted [1,"2026-01-10"]',
      'deleted [2,"2026-01-01"]',
      ...(await crm.value<string[]>(
        `select array_agg(format('deleted [%s,"%s"]', i, date '2025-12-30' + i) order by satisfies_hash_partition('visits_26'::regclass, 2, 1, i), i) from generate_series(3, 4) i`,
      )),
    ])
  })

  it('announces statements that name a partition, in whatever order its columns are', async () => {
    const ids = await crm.value<number[]>(
      `select array_agg(i) from generate_series(1, 100) i where satisfies_hash_partition('visits_26'::regclass, 2, 1, i)`,
    )
    const [one, two] = ids
    await crm.run(
      `insert into visits_25 values (1, '2025-05-05', 'p')`,
      `update visits_25 set place = 'q'`,
      `insert into visits_26b (id, day, place) values (${one}, '2026-05-05', 'b'), (${two}, '2026-05-05', 'b')`,
      `update visits_26b set place = 'c' where id = ${one}`,
      `update visits_26 set place = 'd' where id = ${one}`,
      `delete from visits_26b where id = ${one}`,
      'truncate visits_26b',
      'truncate visits_25',
    )
    expect((await crm.announced()).map(({ kind, payload, key }) => [kind, payload ?? key])).toEqual([
      ['created', '{"id":1,"day":"2025-05-05","place":"p"}'],
      ['updated', '{"id":1,"day":"2025-05-05","place":"q"}'],
      ['created', `{"id":${one},"day":"2026-05-05","place":"b"}`],
      ['created', `{"id":${two},"day":"2026-05-05","place":"b"}`],
      ['updated', `{"id":${one},"day":"2026-05-05","place":"c"}`],
      ['updated', `{"id":${one},"day":"2026-05-05","place":"d"}`],
      ['deleted', `[${one},"2026-05-05"]`],
      ['deleted', `[${two},"2026-05-05"]`],
      ['deleted', '[1,"2025-05-05"]'],
    ])
  })

  it('follows renamings of the table, of partitions and of columns', async () => {
    await crm.run(
      'alter table visits rename to calls',
      'alter table visits_26b rename to calls_26b',
      'alter table calls rename column place to spot',
      'alter table calls add column note text',
      `insert into calls values (1, '2025-05-05', 'p')`,
      `insert into visits_25 values (2, '2025-05-05', 'p', 'n')`,
    )
    const id = await crm.value<number>(
      `select min(i) from generate_series(1, 100) i where satisfies_hash_partition('visits_26'::regclass, 2, 1, i)`,
    )
    await crm.run(
      `insert into calls_26b (id, day, spot) values (${id}, '2026-05-05', 'b')`,
      `update calls_26b set spot = 'c', note = 'n'`,
      `update calls set spot = 'd'`,
      'truncate calls',
    )
    expect((await crm.kinds()).length).toBe(4 + 3 + 3)
  })

  it('fires nothing for ATTACH and DROP, says so, and asks nothing of a detached partition', async () => {
    await crm.run(`insert into visits values (1, '2025-05-05', 'p'), (2, '2025-05-05', 'p')`)
    await crm.announced()
    await crm.run(
      'alter table visits detach partition visits_25',
      'alter table visits_25 add column own text',
      `update visits_25 set place = 'unpublished'`,
      'truncate visits_25',
      'drop table visits_25',
      `create table visits_27 partition of visits for values from ('2027-01-01') to ('2028-01-01')`,
    )
    expect(await crm.announced()).toEqual([])
    expect(await captureProblems(crm.db)).toMatchObject([
      { kind: 'trigger-missing', table: 'visits_27', command: 'comity migrate', severe: true },
      { kind: 'partitions-changed', problem: expect.stringMatching(/visits_27.*visits_25/), severe: false },
    ])
  })

  it('announces what a statement on the parent does in a partition that has no triggers yet', async () => {
    await crm.run(
      `create table visits_27 partition of visits for values from ('2027-01-01') to ('2028-01-01')`,
      `insert into visits values (1, '2027-05-05', 'p')`,
      `update visits set place = 'q'`,
      'truncate visits',
    )
    expect(await crm.kinds()).toEqual(['created [1,"2027-05-05"]', 'updated [1,"2027-05-05"]', 'deleted [1,"2027-05-05"]'])
    await recapture()
    expect(await captureProblems(crm.db)).toEqual([])
    await crm.run(`insert into visits_27 values (1, '2027-05-05', 'p')`)
    expect(await crm.kinds()).toEqual(['created [1,"2027-05-05"]'])
  })

  it('lets a partition be dropped', async () => {
    await crm.run('drop table visits_25', 'drop table visits_26')
    expect((await captureProblems(crm.db)).map(({ kind }) => kind)).toEqual(['partitions-changed'])
  })
})
