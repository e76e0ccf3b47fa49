import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { spawnTypeScript } from '../../../../test/support/typescript-process.ts'
import { classifyError } from '../../src/postgres/classify-error.ts'
import {
  DatabaseUnreachable,
  PoolerRefusesSettings,
  TransactionControlRefused,
  TransactionIsOver,
  TransactionRolledBack,
} from '../../src/postgres/errors.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/pool.ts'

let url: string
let database: PostgresDatabase

beforeAll(async () => {
  url = (await freshDatabase()).url
  database = connect(url)
  await database.query('create table seen (id text primary key)')
})
afterAll(() => database?.close())

async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new TypeError('no error'),
    (error: Error) => error,
  )
}

const pidOf = async (sql: { query: PostgresDatabase['query'] }): Promise<number> =>
  (await sql.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid as number

describe('COPY into a table', () => {
  test('is part of its transaction, and a refused line ends it', async () => {
    await database.transaction(async (tx) => {
      await tx.copyIn?.('copy seen from stdin', 'copied 1\ncopied 2\n')
      await tx.query(`insert into seen values ('beside')`)
      await tx.copyIn?.('copy seen from stdin', '')
    })
    const found = async () => (await database.query(`select id from seen where id like 'copied%' or id = 'beside' order by id`)).rows
    const there = [{ id: 'beside' }, { id: 'copied 1' }, { id: 'copied 2' }]
    expect(await found()).toEqual(there)
    const refused = failure(
      database.transaction(async (tx) => {
        await tx.query(`delete from seen where id = 'beside'`)
        await tx.copyIn?.('copy seen from stdin', 'copied 3\ncopied 1\n')
      }),
    )
    expect(await refused).toMatchObject({ code: '23505' })
    expect(await failure(database.transaction((tx) => tx.copyIn?.('copy no_such_table from stdin', 'a\n') as Promise<void>))).toMatchObject(
      {
        code: '42P01',
      },
    )
    expect(await found()).toEqual(there)
    await database.query('delete from seen')
  })

  test('is not there for a pool of the user, whose pg may be another', async () => {
    const pool = new pg.Pool({ connectionString: url })
    await connect(pool).transaction(async (tx) => expect(tx.copyIn).toBe(undefined))
    await pool.end()
  })
})

describe('connections', () => {
  test('are opened by the first query only, and a failure names no password', async () => {
    const nowhere = connect('postgres://user:secret@127.0.0.1:1/db', { connectionTimeout: '2s' })
    const error = await failure(nowhere.query('select 1'))
    expect(error).toBeInstanceOf(DatabaseUnreachable)
    expect(error.message).toContain('127.0.0.1:1/db')
    expect(error.message).not.toContain('secret')
    expect(classifyError(error)).toBe('connection')
    await nowhere.close()
  })

  test('are five at most, named, with timeouts', async () => {
    await using own = connect(url, { applicationName: 'counted', sessionTimeout: '7s' })
    const rows = await Promise.all(
      Array.from({ length: 12 }, () =>
        own.transaction(async (tx) => {
          await tx.query('select pg_sleep(0.05)::text as x')
          const { rows } = await tx.query<{ n: number; statement: string; idle: string }>(
            `select count(*)::int as n, current_setting('statement_timeout') as statement,
               current_setting('idle_in_transaction_session_timeout') as idle from pg_stat_activity where application_name = 'counted'`,
          )
          return rows[0]
        }),
      ),
    )
    expect(Math.max(...rows.map((row) => row?.n ?? 0))).toBe(5)
    expect(rows[0]).toMatchObject({ statement: '7s', idle: '7s' })
  })

  test('that are lost while idle are reported, and the next query gets a new one', async () => {
    const troubles: Error[] = []
    await using own = connect(url, { max: 1, onTrouble: (error) => troubles.push(error) })
    const pid = await pidOf(own)
    await database.query('select pg_terminate_backend($1::int, 5000)', [pid])
    await expect.poll(() => troubles.length).toBeGreaterThan(0)
    expect(await pidOf(own)).not.toBe(pid)
  })

  test('that are lost inside a transaction do not come back', async () => {
    await using own = connect(url, { max: 1 })
    let pid = 0
    const error = await failure(
      own.transaction(async (tx) => {
        pid = await pidOf(tx)
        await database.query('select pg_terminate_backend($1::int, 5000)', [pid])
        await tx.query('select 1 as x')
      }),
    )
    expect(classifyError(error)).toBe('connection')
    expect(await pidOf(own)).not.toBe(pid)
  })

  test('survive a failed statement', async () => {
    await using own = connect(url, { max: 1 })
    const pid = await pidOf(own)
    await failure(own.query('select 1/0'))
    await failure(own.transaction((tx) => tx.query('select 1/0')))
    expect(await pidOf(own)).toBe(pid)
  })

  test('that are half open are given up', async () => {
    const target = new URL(url)
    let silent = false
    const sockets: Socket[] = []
    const proxy = createServer((near) => {
      const far = dial(Number(target.port), target.hostname)
      sockets.push(near, far)
      near.on('data', (data) => silent || far.write(data)).on('error', () => undefined)
      far.on('data', (data) => silent || near.write(data)).on('error', () => undefined)
    })
    const through = new URL(url)
    through.port = String(await listen(proxy))
    await using own = connect(through.href, { max: 1, sessionTimeout: '1s' })
    await own.query('select 1 as x')
    silent = true
    const began = performance.now()
    expect(classifyError(await failure(own.query('select 1 as x')))).toBe('connection')
    expect(performance.now() - began).toBeLessThan(10_000)
    silent = false
    expect((await own.query('select 1 as x')).rows).toEqual([{ x: 1 }])
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })

  test('do not keep a process alive', async () => {
    const child = spawnTypeScript(new URL('publish-only.ts', import.meta.url), [url], { stdio: 'pipe' })
    let said = ''
    child.stdout?.on('data', (data) => {
      said += String(data)
    })
    const began = performance.now()
    const [code] = (await once(child, 'exit')) as [number]
    expect({ code, said: said.trim() }).toEqual({ code: 0, said: 'done' })
    expect(performance.now() - began).toBeLessThan(10_000)
  })

  test('through a pooler that refuses our settings end in words that say what to do', async () => {
    const refusing = createServer((socket) => {
      socket.once('data', () => {
        const fields = 'SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: statement_timeout\0\0'
        const length = Buffer.alloc(4)
        length.writeInt32BE(fields.length + 4)
        socket.end(Buffer.concat([Buffer.from('E'), length, Buffer.from(fields)]))
      })
    })
    const port = await listen(refusing)
    const pooled = connect(`postgres://postgres@127.0.0.1:${port}/x`)
    expect(await failure(pooled.query('select 1'))).toBeInstanceOf(PoolerRefusesSettings)
    refusing.close()
  })

  test.each([
    ['our own pool', (at: string) => connect(at)],
    ['a given pool', (at: string) => connect(new pg.Pool({ connectionString: at }))],
  ])('that are lost in the packet that says they are ready are an error of the query, not the end of the process: %s', async (_, open) => {
    const message = (type: string, body: string): Buffer => {
      const length = Buffer.alloc(4)
      length.writeInt32BE(Buffer.byteLength(body) + 4)
      return Buffer.concat([Buffer.from(type), length, Buffer.from(body)])
    }
    // Authentication ok, ready for a query, and: postmaster gone.
    const packet = [message('R', '\0\0\0\0'), message('Z', 'I'), message('E', 'SFATAL\0VFATAL\0C57P01\0Mpostmaster exit\0\0')]
    const going = createServer((socket) => socket.once('data', () => socket.end(Buffer.concat(packet))).on('error', () => undefined))
    const database = open(`postgres://postgres@127.0.0.1:${await listen(going)}/x`)
    expect(classifyError(await failure(database.query('select 1')))).toBe('connection')
    expect(classifyError(await failure(database.transaction((tx) => tx.query('select 1'))))).toBe('connection')
    going.close()
  })

  test('of a given pool stay open', async () => {
    const pool = new pg.Pool({ connectionString: url })
    const given = connect(pool)
    expect(await given.transaction((tx) => tx.query('select 1 as x'))).toMatchObject({ rows: [{ x: 1 }] })
    await given.close()
    expect((await pool.query('select 2 as x')).rows).toEqual([{ x: 2 }])
    await pool.end()
  })

  test('answer int8 and numeric as text', async () => {
    expect((await database.query('select 9007199254740993 as big, 1.10 as exact')).rows).toEqual([
      { big: '9007199254740993', exact: '1.10' },
    ])
  })
})

describe('a transaction', () => {
  test('is read committed and read-write whatever the session says', async () => {
    await using own = connect(
      `${url}?options=${encodeURIComponent('-c default_transaction_isolation=serializable -c default_transaction_read_only=on')}`,
    )
    const show = `select current_setting('transaction_isolation') as isolation, current_setting('transaction_read_only') as read_only`
    expect((await own.query(show)).rows).toEqual([{ isolation: 'serializable', read_only: 'on' }])
    expect(await own.transaction(async (tx) => (await tx.query(show)).rows)).toEqual([{ isolation: 'read committed', read_only: 'off' }])
  })

  test('pipelines what is fired together: after a failure the rest fails too', async () => {
    const error = await failure(
      database.transaction(async (tx) => {
        const results = await Promise.allSettled([
          tx.query(`insert into seen values ('before')`),
          tx.query('select 1/0'),
          tx.query(`insert into seen values ('after')`),
        ])
        expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
        expect(classifyError((results[2] as PromiseRejectedResult).reason)).toBe('aborted-transaction')
      }),
    )
    expect(error).toBeInstanceOf(TransactionRolledBack)
    expect((await database.query('select id from seen')).rows).toEqual([])
  })

  test('takes savepoints, and commits what follows a rollback to one', async () => {
    await database.transaction(async (tx) => {
      await tx.query('savepoint a')
      await failure(tx.query('select 1/0'))
      await tx.query('rollback to savepoint a')
      await tx.query(`insert into seen values ('saved')`)
      await tx.query('release savepoint a')
    })
    expect((await database.query('select id from seen')).rows).toEqual([{ id: 'saved' }])
  })

  test('refuses to be ended from inside, and stays whole', async () => {
    await database.transaction(async (tx) => {
      expect(await failure(tx.query('select 1; /**/ commit'))).toBeInstanceOf(TransactionControlRefused)
      await tx.query(`insert into seen values ('whole')`)
    })
    expect((await database.query(`select id from seen where id = 'whole'`)).rows).toHaveLength(1)
  })

  test('refuses statements after its end, those of a forgotten promise too', async () => {
    let late: Promise<unknown> = Promise.resolve()
    await database.transaction(async (tx) => {
      late = new Promise(setImmediate).then(() => tx.query(`insert into seen values ('late')`))
      late.catch(() => undefined)
    })
    expect(await failure(late)).toBeInstanceOf(TransactionIsOver)
  })
})

test('a session runs outside a transaction, and what it SET goes with it', async () => {
  await using own = connect(url, { max: 1 })
  const pid = await own.session(async (session) => {
    await session.query(`set lock_timeout = '77ms'`)
    await session.query('vacuum seen')
    return pidOf(session)
  })
  expect(await pidOf(own)).not.toBe(pid)
  expect((await own.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '0' }])
})

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
