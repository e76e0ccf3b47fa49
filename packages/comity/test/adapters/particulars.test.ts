import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { asDatabase } from '../../src/adapters/as-database.ts'
import { fromPg } from '../../src/adapters/pg.ts'
import { fromPostgresJs } from '../../src/adapters/postgres-js.ts'
import type { Queryable } from '../../src/postgres/database.ts'
import { NotADatabase, NotATransaction, TransactionControlRefused, TransactionIsOver } from '../../src/postgres/errors.ts'

let url: string
let pool: pg.Pool
let sql: postgres.Sql

beforeAll(async () => {
  url = (await freshDatabase()).url
  pool = new pg.Pool({ connectionString: url })
  sql = postgres(url, { onnotice: () => undefined })
  await pool.query('create table seen (id text primary key)')
})
afterAll(async () => {
  await sql?.end({ timeout: 1 })
  await pool?.end()
})

const seen = async (): Promise<string[]> =>
  (await pool.query<{ id: string }>('delete from seen returning id')).rows.map(({ id }) => id).sort()

describe('pg', () => {
  test('refuses a client that is in no transaction, before and after one', async () => {
    const database = fromPg(pool)
    const client = await pool.connect()
    const write = (id: string): Promise<unknown> => database.join(client).query('insert into seen values ($1::text)', [id])
    await expect(write('before')).rejects.toBeInstanceOf(NotATransaction)
    // The caller need not await his BEGIN: it is ahead of us on the same connection.
    const begin = client.query('begin')
    await write('inside')
    await begin
    await client.query('commit')
    await expect(write('after')).rejects.toBeInstanceOf(NotATransaction)
    client.release()
    expect(await seen()).toEqual(['inside'])
  })

  test('lends a client that works like one, and cannot be released or ended', async () => {
    await fromPg(pool).transaction(async (tx) => {
      await tx.query({ text: 'insert into seen values ($1)', values: ['config'] })
      await expect(tx.query({ text: 'commit' })).rejects.toBeInstanceOf(TransactionControlRefused)
      expect(() => tx.release()).toThrow(TransactionControlRefused)
      expect(tx).toBeInstanceOf(pg.Client)
      const notices: unknown[] = []
      tx.on('notice', (notice) => notices.push(notice))
      await tx.query(`do $$ begin raise notice 'heard'; end $$`)
      expect(notices).toHaveLength(1)
    })
    expect(await seen()).toEqual(['config'])
  })

  test('leaves a shorter timeout of the session as it is', async () => {
    const impatient = new pg.Pool({ connectionString: url, statement_timeout: 2_000, idle_in_transaction_session_timeout: 90_000 })
    const rows = await fromPg(impatient, { sessionTimeout: '1m' }).transaction(
      async (tx) =>
        (await tx.query(`select current_setting('statement_timeout') as s, current_setting('idle_in_transaction_session_timeout') as i`))
          .rows,
    )
    expect(rows).toEqual([{ s: '2s', i: '1min' }])
    await impatient.end()
  })
})

describe('postgres.js', () => {
  test('lends a transaction with its templates, helpers and savepoints', async () => {
    await fromPostgresJs(sql).transaction(async (tx) => {
      await tx`insert into ${tx('seen')} ${tx({ id: 'template' })}`
      await tx
        .savepoint(async (inner) => {
          await inner`insert into seen values ('undone')`
          await inner`select 1/0`
        })
        .catch(() => undefined)
      await tx.savepoint('named', (inner) => inner`insert into seen values ('kept')`)
      await expect((async () => tx`commit`)()).rejects.toBeInstanceOf(TransactionControlRefused)
      await expect(tx.savepoint(async (inner) => inner.unsafe('rollback'))).rejects.toBeInstanceOf(TransactionControlRefused)
    })
    expect(await seen()).toEqual(['kept', 'template'])
  })

  test('refuses a late statement that it would itself run outside of the transaction', async () => {
    let leaked: postgres.TransactionSql | undefined
    await fromPostgresJs(sql).transaction(async (tx) => {
      leaked = tx
    })
    const late = async (tx: postgres.TransactionSql): Promise<unknown> => tx`insert into seen values ('late')`
    await expect(late(leaked as unknown as postgres.TransactionSql)).rejects.toBeInstanceOf(TransactionIsOver)
    expect(await seen()).toEqual([])
  })
})

describe('asDatabase', () => {
  test('takes a URL, a pg.Pool and an adapter', async () => {
    const own = asDatabase<Queryable>(url)
    expect(await own.transaction((tx) => tx.query('select 1 as x'))).toMatchObject({ rows: [{ x: 1 }] })
    await own.close()
    const pooled = asDatabase<pg.PoolClient>(pool)
    expect(await pooled.transaction((tx) => tx.query('select 1 as x'))).toMatchObject({ rows: [{ x: 1 }] })
    await pooled.close()
    expect(asDatabase(pooled)).toBe(pooled)
    expect((await pool.query('select 1 as x')).rows).toEqual([{ x: 1 }])
  })

  test.each([['mysql://user:secret@host/db'], [undefined], [{}], [5]])('refuses %j without repeating it', (given) => {
    expect(() => asDatabase(given as never)).toThrow(NotADatabase)
    expect(() => asDatabase(given as never)).not.toThrow(/secret/)
  })
})
