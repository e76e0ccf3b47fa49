import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { freshDatabase, onEachPostgres } from '../../../../test/support/postgres.ts'
import { MigrationBlocked, MigrationChanged, MigrationFailed, SchemaIsNewer } from '../../src/postgres/errors.ts'
import { loadMigrations } from '../../src/postgres/load-migrations.ts'
import { applyMigrations, type Migration, type MigrationPlan, pendingMigrations, printMigrations } from '../../src/postgres/migrate.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/pool.ts'

const first: Migration = {
  name: '0001-first',
  sql: `create table made.a (id int);
-- a quote ' and a $tag$ in a comment
create function made.f() returns int language plpgsql as $$ begin return 'it''s' is null; end $$;
insert into made.a values (1);`,
}
const second: Migration = { name: '0002-second', sql: 'alter table made.a add column text text; update made.a set text = $x$it\\s$x$;\n' }
const plan = (migrations: readonly Migration[], more: Partial<MigrationPlan> = {}): MigrationPlan => ({
  schema: 'made',
  major: 1,
  migrations,
  ...more,
})

async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new TypeError('no error'),
    (error: Error) => error,
  )
}
const names = (migrations: readonly Migration[]): string[] => migrations.map(({ name }) => name)
const rows = async (database: PostgresDatabase, text: string): Promise<unknown[]> => (await database.query(text)).rows

onEachPostgres('migrations', (server) => {
  const open = async (): Promise<PostgresDatabase> => connect((await freshDatabase({ server })).url)

  test('are applied once each, in order, and recorded', async () => {
    await using database = await open()
    expect(names(await pendingMigrations(database, plan([first, second])))).toEqual(['0001-first', '0002-second'])
    expect(await rows(database, `select 1 from pg_namespace where nspname = 'made'`)).toEqual([])
    expect(await applyMigrations(database, plan([first]))).toEqual(['0001-first'])
    expect(names(await pendingMigrations(database, plan([first, second])))).toEqual(['0002-second'])
    expect(await applyMigrations(database, plan([first, second]))).toEqual(['0002-second'])
    expect(await applyMigrations(database, plan([first, second]))).toEqual([])
    expect(await rows(database, 'select id, text from made.a')).toEqual([{ id: 1, text: 'it\\s' }])
    expect(await rows(database, 'select name, major from made.migrations order by name')).toEqual([
      { name: '0001-first', major: 1 },
      { name: '0002-second', major: 1 },
    ])
  })

  test('are safe when several processes apply them at once', async () => {
    const { url } = await freshDatabase({ server })
    const many = Array.from({ length: 8 }, (_, i) => ({ name: `000${i}-table`, sql: `create table made.t${i} (id int)` }))
    const processes = Array.from({ length: 4 }, () => connect(url))
    const applied = await Promise.all(processes.map((database) => applyMigrations(database, plan(many))))
    expect(applied.flat().sort()).toEqual(names(many))
    for (const database of processes) await database.close()
  })

  test('that were released and changed are refused, line ends aside', async () => {
    await using database = await open()
    await applyMigrations(database, plan([first]))
    expect(await pendingMigrations(database, plan([{ ...first, sql: first.sql.replaceAll('\n', '\r\n') }]))).toEqual([])
    const changed = plan([{ ...first, sql: `${first.sql} ` }])
    expect(await failure(pendingMigrations(database, changed))).toBeInstanceOf(MigrationChanged)
    expect(await failure(applyMigrations(database, changed))).toBeInstanceOf(MigrationChanged)
  })

  test('of a newer major version are refused, of a newer minor one are fine', async () => {
    await using database = await open()
    await applyMigrations(database, plan([first, second]))
    expect(await pendingMigrations(database, plan([first]))).toEqual([])
    await applyMigrations(database, plan([first, second, { name: '0003-major', sql: 'select 1' }], { major: 2 }))
    expect(await failure(pendingMigrations(database, plan([first])))).toBeInstanceOf(SchemaIsNewer)
    expect(await failure(applyMigrations(database, plan([first])))).toBeInstanceOf(SchemaIsNewer)
  })

  test('that fail leave nothing behind, name their line, and keep what went before', async () => {
    await using database = await open()
    const broken = { name: '0002-broken', sql: 'create table made.b (id int);\n\nselect nothing_of_the_kind;' }
    const error = await failure(applyMigrations(database, plan([first, broken])))
    expect(error).toBeInstanceOf(MigrationFailed)
    expect(error.message).toContain('0002-broken')
    expect(error.message).toContain('line 3')
    expect(names(await pendingMigrations(database, plan([first, broken])))).toEqual(['0002-broken'])
    expect(await rows(database, `select to_regclass('made.b')::text as b`)).toEqual([{ b: null }])
  })

  test('cannot commit by themselves', async () => {
    await using database = await open()
    const cheat = { name: '0001-cheat', sql: 'create table made.cheat (id int); commit;' }
    expect(await failure(applyMigrations(database, plan([cheat])))).toBeInstanceOf(MigrationFailed)
    expect(await rows(database, `select to_regclass('made.cheat')::text as c`)).toEqual([{ c: null }])
  })

  test('give way to a long transaction, and go on when it has ended', async () => {
    await using database = await open()
    await applyMigrations(database, plan([first]))
    let migrated: Promise<readonly string[]> = Promise.resolve([])
    await database.transaction(async (tx) => {
      await tx.query('insert into made.a values (2)')
      const blocked = await failure(applyMigrations(database, plan([first, second], { patience: '300ms', lockTimeout: '20ms' })))
      expect(blocked).toBeInstanceOf(MigrationBlocked)
      migrated = applyMigrations(database, plan([first, second], { lockTimeout: '20ms' }))
    })
    expect(await migrated).toEqual(['0002-second'])
  })

  test('printed and run by hand are the same as applied', async () => {
    await using database = await open()
    await database.session((session) => session.query(printMigrations(plan([first, second]))))
    expect(await pendingMigrations(database, plan([first, second]))).toEqual([])
    expect(await rows(database, 'select id, text from made.a')).toEqual([{ id: 1, text: 'it\\s' }])
  })
})

test('are loaded from the .sql files of a folder, by name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'comity-migrations-'))
  await writeFile(join(folder, '0002-b.sql'), 'select 2')
  await writeFile(join(folder, '0001-a.sql'), 'select 1')
  await writeFile(join(folder, 'README.md'), 'no migration')
  expect(await loadMigrations(pathToFileURL(`${folder}/`))).toEqual([
    { name: '0001-a', sql: 'select 1' },
    { name: '0002-b', sql: 'select 2' },
  ])
  await rm(folder, { recursive: true })
})
