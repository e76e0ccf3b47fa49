import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase, type ServerName } from '../../../../test/support/postgres.ts'
import { arrayLiteral } from '../../src/postgres/array-literal.ts'
import { classifyError, describeError, sqlStateOf } from '../../src/postgres/classify-error.ts'
import {
  CommitUnknown,
  NotATransaction,
  TransactionControlRefused,
  TransactionEndedByHandler,
  TransactionIsOver,
  TransactionRolledBack,
} from '../../src/postgres/errors.ts'
import { applyMigrations, pendingMigrations } from '../../src/postgres/migrate.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/pool.ts'
import type { OpenLibrary, TestLibrary } from './test-library.ts'

/** These refuse a COMMIT before it runs; the others notice it afterwards. */
const guarded = ['own pool', 'pg', 'postgres.js']

/** What every adapter promises, whatever the library. */
export function adapterLaws(name: string, open: OpenLibrary, server: ServerName): void {
  describe(`${name}, on Postgres ${server === 'npm' ? 18 : 15}`, () => {
    let url: string
    let admin: PostgresDatabase
    let library: TestLibrary

    beforeAll(async () => {
      url = (await freshDatabase({ server })).url
      admin = connect(url)
      await admin.query('create table seen (id text primary key, note text)')
      await admin.query('create table parent (id text primary key)')
      await admin.query('create table child (parent text references parent deferrable initially deferred)')
      await admin.query(`alter database ${new URL(url).pathname.slice(1)} set default_transaction_isolation = 'repeatable read'`)
      library = await open(url)
    })
    afterAll(async () => {
      await library?.[Symbol.asyncDispose]()
      await admin?.close()
    })

    const seen = async (id: string): Promise<boolean> =>
      (await admin.query('select 1 as found from seen where id = $1::text', [id])).rows.length > 0
    const insert = (tx: unknown, id: string): Promise<unknown> =>
      library.database.join(tx).query('insert into seen (id) values ($1::text)', [id])
    const failure = (promise: Promise<unknown>): Promise<unknown> =>
      promise.then(
        () => 'no error',
        (error: unknown) => error,
      )

    test('commits what the work and we wrote together, and gives its result', async () => {
      const result = await library.database.transaction(async (tx) => {
        await library.execute(tx, `insert into seen (id) values ('theirs')`)
        await insert(tx, 'ours')
        return [1, 2]
      })
      expect(result).toEqual([1, 2])
      expect([await seen('theirs'), await seen('ours')]).toEqual([true, true])
    })

    test('rolls back when the work throws, and throws the same error', async () => {
      const wrong = new TypeError('wrong')
      const error = await failure(
        library.database.transaction(async (tx) => {
          await insert(tx, 'thrown')
          throw wrong
        }),
      )
      expect(error).toBe(wrong)
      expect(await seen('thrown')).toBe(false)
    })

    test('reports a caught SQL error as rolled back, not as committed', async () => {
      const error = await failure(
        library.database.transaction(async (tx) => {
          await insert(tx, 'caught')
          await library.execute(tx, 'select 1/0').catch(() => undefined)
        }),
      )
      expect(error).toBeInstanceOf(TransactionRolledBack)
      expect(await seen('caught')).toBe(false)
      await insertAlone('after-caught')
    })

    test('reports a caught SQL error of our own statement as rolled back', async () => {
      const error = await failure(
        library.database.transaction(async (tx) => {
          await insert(tx, 'caught-ours')
          await library.database
            .join(tx)
            .query('select 1/$1::int as x', [0])
            .catch(() => undefined)
        }),
      )
      expect(error).toBeInstanceOf(TransactionRolledBack)
    })

    test.each(['commit', 'rollback', '  /* a /* b */ */ -- c\n CoMmIt'])('does not vouch for work that says %j', async (statement) => {
      const id = `control ${statement}`
      const error = await failure(
        library.database.transaction(async (tx) => {
          await insert(tx, id)
          await library.execute(tx, statement)
          await insert(tx, `${id} after`)
        }),
      )
      expect(error).toBeInstanceOf(guarded.includes(name) ? TransactionControlRefused : TransactionEndedByHandler)
      if (guarded.includes(name)) expect(await seen(id)).toBe(false)
      await insertAlone(`${id} next`)
    })

    test('notices COMMIT followed by BEGIN', async () => {
      const error = await failure(
        library.database.transaction(async (tx) => {
          await library.execute(tx, 'commit')
          await library.execute(tx, 'begin')
        }),
      )
      expect(error).toBeInstanceOf(guarded.includes(name) ? TransactionControlRefused : TransactionEndedByHandler)
    })

    test('joins a transaction of the user, and commits and rolls back with it', async () => {
      await library.transaction(async (tx) => {
        await insert(tx, 'joined')
        expect(await seen('joined')).toBe(false)
      })
      expect(await seen('joined')).toBe(true)
      const error = await failure(
        library.transaction(async (tx) => {
          await insert(tx, 'joined and gone')
          throw new TypeError('theirs')
        }),
      )
      expect(error).toBeInstanceOf(TypeError)
      expect(await seen('joined and gone')).toBe(false)
    })

    test('runs READ COMMITTED whatever the database says, with timeouts', async () => {
      const rows = await library.database.transaction(
        async (tx) =>
          (
            await library.database.join(tx).query(
              `select current_setting('transaction_isolation') as isolation, current_setting('transaction_read_only') as read_only,
                 current_setting('statement_timeout') as statement, current_setting('idle_in_transaction_session_timeout') as idle`,
            )
          ).rows,
      )
      expect(rows).toEqual([{ isolation: 'read committed', read_only: 'off', statement: '15s', idle: '15s' }])
    })

    test('has parameters and rows that are the same in every library', async () => {
      const awkward = ['a"b', 'c\\d', '{x,y}', 'NULL', '', ' é😀 ', null]
      const { rows } = await library.database.query(
        `select $1::text as text, $2::text as nothing, $3::int as number, $4::text::bigint::text as big, $5::text::boolean as yes,
           $6::text::jsonb ->> 'a' as json, jsonb_typeof($6::text::jsonb) as json_type, array_to_json($7::text::text[])::text as texts,
           (select sum(x)::text from unnest($8::text::bigint[]) x) as total, cardinality($9::text::text[]) as none,
           to_char($10::text::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time,
           $1::text = $1::text as same, $11::text::numeric::text as exact, encode($12::text::bytea, 'hex') as bytes`,
        [
          'it\'s $1 \\ "quoted" ?',
          null,
          5,
          '9007199254740993',
          'true',
          '{"a":"ü \\" \\\\"}',
          arrayLiteral(awkward),
          arrayLiteral(['9007199254740993', 1]),
          arrayLiteral([]),
          '2026-01-02T03:04:05.123456Z',
          '1.100',
          '\\x00ff',
        ],
      )
      expect(rows).toEqual([
        {
          text: 'it\'s $1 \\ "quoted" ?',
          nothing: null,
          number: 5,
          big: '9007199254740993',
          yes: true,
          json: 'ü " \\',
          json_type: 'object',
          texts: JSON.stringify(awkward),
          total: '9007199254740994',
          none: 0,
          time: '2026-01-02T03:04:05.123456Z',
          same: true,
          exact: '1.100',
          bytes: '00ff',
        },
      ])
    })

    test("leaves alone what looks like a placeholder of some library's", async () => {
      const look = `select 'it''s ? ?? \\? :name :p1 $1 $9 $x $$ é$1' as literal, $q$ ' ? :name $2 $q$ as quoted, $$?$$ as dollars,
        '{"k":1}'::text::jsonb ? 'k' as operator, "a$1" as "column ? :name" from (select 1 as "a$1") x`
      const row = {
        literal: "it's ? ?? \\? :name :p1 $1 $9 $x $$ é$1",
        quoted: " ' ? :name $2 ",
        dollars: '?',
        operator: true,
        'column ? :name': 1,
      }
      expect((await library.database.query(look)).rows).toEqual([row])
      const given = await library.database.transaction((tx) =>
        library.database.join(tx).query(`${look} where $1::text = $2::text`, ['?', '?']),
      )
      expect(given.rows).toEqual([row])
    })

    test('takes statements that were fired together, in order', async () => {
      const warnings: Error[] = []
      const listen = (warning: Error): void => void warnings.push(warning)
      process.on('warning', listen)
      const ids = Array.from({ length: 20 }, (_, i) => `fired ${i}`)
      await library.database.transaction(async (tx) => {
        const sql = library.database.join(tx)
        await Promise.all([
          ...ids.map((id) => sql.query('insert into seen (id) values ($1::text)', [id])),
          sql.query('update seen set note = $1::text where id like $2::text', ['all', 'fired %']),
        ])
      })
      process.off('warning', listen)
      expect(warnings).toEqual([])
      expect((await admin.query(`select count(*)::int as n from seen where note = 'all'`)).rows).toEqual([{ n: 20 }])
    })

    test('carries the SQLSTATE, and words without values', async () => {
      await insertAlone('secret-key')
      for (const error of [
        await failure(library.database.query('insert into seen (id) values ($1::text)', ['secret-key'])),
        await failure(library.database.transaction((tx) => insert(tx, 'secret-key'))),
      ]) {
        expect(sqlStateOf(error)).toBe('23505')
        expect(classifyError(error)).toBe('other')
        expect(describeError(error)).not.toContain('secret-key')
        expect((error as Error).message).not.toContain('secret-key')
      }
      const invalid = await failure(library.database.query('select $1::text::int as x', ['secret-text']))
      expect(describeError(invalid)).toBe('invalid input syntax for type integer: (value hidden) (SQLSTATE 22P02)')
    })

    test('passes on what COMMIT itself finds wrong: rolled back, and known to be', async () => {
      const error = await failure(
        library.database.transaction((tx) => library.database.join(tx).query(`insert into child values ('missing')`)),
      )
      expect(sqlStateOf(error)).toBe('23503')
      expect(error).not.toBeInstanceOf(CommitUnknown)
    })

    test('refuses a statement after the transaction', async () => {
      let leaked: unknown
      await library.database.transaction(async (tx) => {
        leaked = tx
      })
      expect(await failure(insert(leaked, 'too late'))).toBeInstanceOf(TransactionIsOver)
      expect(await seen('too late')).toBe(false)
    })

    test('refuses a pool where a transaction is needed', async () => {
      expect(await failure((async () => insert(library.notATransaction, 'on a pool'))())).toBeInstanceOf(NotATransaction)
      expect(await seen('on a pool')).toBe(false)
    })

    test('migrates: several statements, functions and all, through the library', async () => {
      const sql = 'create table moved (id int); create function moved_f() returns int language plpgsql as $$ begin return 1; end $$;'
      const plan = { schema: 'moves', major: 1, migrations: [{ name: '0001-moved', sql }] }
      expect(await applyMigrations(library.database, plan)).toEqual(['0001-moved'])
      expect(await pendingMigrations(library.database, plan)).toEqual([])
      expect((await admin.query('select moved_f() as one from moved right join (select 1) x on true')).rows).toEqual([{ one: 1 }])
    })

    test('survives a connection that is lost inside the work', async () => {
      const error = await failure(
        library.database.transaction(async (tx) => {
          await insert(tx, 'lost')
          await kill(tx)
          await insert(tx, 'lost too')
        }),
      )
      expect(classifyError(error)).toBe('connection')
      expect(error).not.toBeInstanceOf(CommitUnknown)
      expect(await seen('lost')).toBe(false)
      await insertAlone('after lost')
    })

    test('says that it does not know when the connection is lost at COMMIT', async () => {
      // The deferred trigger ends its own backend in the middle of COMMIT.
      await admin.query(`create or replace function die() returns trigger language plpgsql as
        $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$`)
      await admin.query('create table if not exists deadly (id text)')
      await admin.query('drop trigger if exists die on deadly')
      await admin.query(
        'create constraint trigger die after insert on deadly deferrable initially deferred for each row execute function die()',
      )
      const error = await failure(library.database.transaction((tx) => library.database.join(tx).query(`insert into deadly values ('x')`)))
      expect(error).toBeInstanceOf(CommitUnknown)
      expect(classifyError(error)).toBe('connection')
      await insertAlone('after deadly')
    })

    test('ends work that is too slow, and work that goes idle', async () => {
      await using impatient = await open(url, { sessionTimeout: '1s' })
      const slow = await failure(
        impatient.database.transaction((tx) => impatient.database.join(tx).query('select pg_sleep(20)::text as x')),
      )
      expect(classifyError(slow)).toBe('timeout')
    })

    /** Prisma gives a connection that was lost back to its pool: as in production, a lost connection is no reason to stop trying. */
    async function insertAlone(id: string): Promise<void> {
      for (let left = 5; ; left--) {
        try {
          await library.database.transaction((tx) => insert(tx, id))
          break
        } catch (error) {
          if (left === 0 || classifyError(error) !== 'connection') throw error
        }
      }
      expect(await seen(id)).toBe(true)
    }

    async function kill(tx: unknown): Promise<void> {
      const { rows } = await library.database.join(tx).query<{ pid: number }>('select pg_backend_pid() as pid')
      await admin.query('select pg_terminate_backend($1::int, 5000)', [rows[0]?.pid])
    }
  })
}
