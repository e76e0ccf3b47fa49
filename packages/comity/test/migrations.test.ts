/** Migrations that were released are never changed: databases out there hold their checksums. */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { freshDatabase, onEachPostgres } from '../../../test/support/postgres.ts'
import { applyMigrations, connect, loadMigrations, type PostgresDatabase, pendingMigrations } from '../src/postgres/index.ts'

const folder = new URL('../migrations/', import.meta.url)
const schema = 'comity'

// The bus's own list is held by transport/bus-maintenance.test.ts.
describe('the migrations of a team’s database', () => {
  test('holds what was released', async () => {
    const checksums = (await loadMigrations(folder)).map(({ name, sql }) => `${name} ${createHash('sha256').update(sql).digest('hex')}`)
    // Only before the first release may it be locked anew: npx vitest run -u packages/comity/test/migrations.test.ts
    expect(checksums).toMatchSnapshot('a released migration never changes: restore it, and write a new one')
  })

  test('is numbered without a gap', async () => {
    const names = (await loadMigrations(folder)).map(({ name }) => name)
    expect(names.map((name) => Number(name.slice(0, 4)))).toEqual(names.map((_, index) => index + 1))
    for (const name of names) expect(name).toMatch(/^\d{4}-[a-z]+(?:-[a-z]+)*$/)
  })

  onEachPostgres('the list', (server) => {
    const open = async (): Promise<PostgresDatabase[]> => {
      const { url } = await freshDatabase({ server })
      return Array.from({ length: 3 }, () => connect(url))
    }
    const close = (databases: readonly PostgresDatabase[]) => Promise.all(databases.map((database) => database.close()))

    test('is applied once, by whoever comes first, from several processes at once', async () => {
      const plan = { schema, major: 1, migrations: await loadMigrations(folder) }
      const databases = await open()
      const applied = await Promise.all(databases.map((database) => applyMigrations(database, plan)))
      expect(applied.flat().sort()).toEqual(plan.migrations.map(({ name }) => name))
      expect(await pendingMigrations(databases[0] as PostgresDatabase, plan)).toEqual([])
      await close(databases)
    })

    test('comes to the same from any migration on', async () => {
      const migrations = await loadMigrations(folder)
      const [database, ...others] = (await open()) as [PostgresDatabase, ...PostgresDatabase[]]
      for (let count = 1; count <= migrations.length; count++) {
        const applied = await applyMigrations(database, { schema, major: 1, migrations: migrations.slice(0, count) })
        expect(applied).toEqual([migrations[count - 1]?.name])
      }
      await close([database, ...others])
    })

    test('lets nobody in who was granted nothing', async () => {
      const databases = await open()
      const [database] = databases as [PostgresDatabase]
      await applyMigrations(database, { schema, major: 1, migrations: await loadMigrations(folder) })
      const { rows } = await database.query(
        `select p.oid::regprocedure::text as open from pg_proc p
         where p.pronamespace = $1::text::regnamespace and p.prosecdef and has_function_privilege('public', p.oid, 'execute')
         union all
         select c.oid::regclass::text from pg_class c
         where c.relnamespace = $1::text::regnamespace and c.relkind in ('r', 'p', 'v', 'm') and has_table_privilege('public', c.oid, 'select, insert, update, delete')`,
        [schema],
      )
      expect(rows).toEqual([])
      await close(databases)
    })

    test('pins the search path of whatever runs with its owner’s rights', async () => {
      const databases = await open()
      const [database] = databases as [PostgresDatabase]
      await applyMigrations(database, { schema, major: 1, migrations: await loadMigrations(folder) })
      const { rows } = await database.query(
        `select p.oid::regprocedure::text as unpinned from pg_proc p
         where p.pronamespace = $1::text::regnamespace and p.prosecdef and not coalesce(array_to_string(p.proconfig, ' ') ~ 'search_path=.*pg_temp$', false)`,
        [schema],
      )
      expect(rows).toEqual([])
      await close(databases)
    })
  })
})
