/** CRM's clerks: they write plain SQL, in transactions of every shape, and know nothing of Comity. */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'

export const AGENCIES = ['albatross', 'beaver', 'chameleon'] as const

const NAMES = [
  'Ada',
  'Björk',
  'Chidi',
  'Dalia',
  'Emre',
  'Fatou',
  'Gül',
  'Håkon',
  'Inés',
  'José',
  'Kateřina',
  'Lê',
  'Márta',
  'Ngozi',
  'Øystein',
]
/** Between two transactions, in milliseconds. */
const PAUSE = 4

/** Every phone number begins with it, so that none of them is overlooked where it does not belong. */
export const PHONE_PREFIX = '+999 40 '

/** Counted while they are made. */
export interface Changes {
  /** Committed transactions, and the rows they changed. */
  transactions: number
  rows: number
  rolledBack: number
}

/** A first set of customers, as an import would write it. */
export async function importCustomers(database: pg.Pool, count: number): Promise<void> {
  await database.query(
    `insert into customers (agency_id, email, name, phone)
     select ($1::text[])[1 + i % cardinality($1::text[])], format('customer%s@example.org', i),
       format('%s %s', ($2::text[])[1 + i % cardinality($2::text[])], i), $3 || to_char(i, 'FM0000000')
     from generate_series(1, $4::int) i`,
    [AGENCIES, NAMES, PHONE_PREFIX, count],
  )
}

/** Who changes customers without end, and is sent home before the database goes, however the story ends. */
export interface Clerks extends AsyncDisposable {
  /** Rejects when one of their statements failed. */
  finish(): Promise<void>
}

/** The seed says what they change. Ends the pool when they go. */
export function startClerks(database: pg.Pool, seed: number, counted: Changes): Clerks {
  const enough = new AbortController()
  const working = changeCustomers(database, seed, enough.signal, counted).finally(() => database.end())
  working.catch(() => undefined)
  return {
    finish() {
      enough.abort()
      return working
    },
    async [Symbol.asyncDispose]() {
      await this.finish().catch(() => undefined)
    },
  }
}

async function changeCustomers(database: pg.Pool, seed: number, signal: AbortSignal, counted: Changes): Promise<void> {
  const random = randomFrom(seed)
  const upTo = (limit: number): number => Math.floor(random() * limit)
  const client = await database.connect()
  try {
    const { rows } = await client.query<{ newest: number }>('select max(id)::int as newest from customers')
    let newest = rows[0]?.newest ?? 0
    while (!signal.aborted) {
      const some = 1 + upTo(newest)
      const name = `${NAMES[upTo(NAMES.length)]} ${upTo(100_000)}`
      const kind = random()
      await client.query('begin')
      let changed = 0
      const run = async (sql: string, values: readonly unknown[]): Promise<void> => {
        changed += (await client.query(sql, [...values])).rowCount ?? 0
      }
      if (kind < 0.35) await run('update customers set name = $2 where id = $1', [some, name])
      else if (kind < 0.5) await run('update customers set email = $2, name = $3 where id = $1', [some, `c${upTo(1e9)}@example.org`, name])
      else if (kind < 0.6) await run('update customers set phone = $2 where id = $1', [some, PHONE_PREFIX + upTo(10_000_000)])
      else if (kind < 0.75) await run('update customers set credit_rating = $2 where id = $1', [some, upTo(1000)])
      else if (kind < 0.8) await run("update customers set name = name || ' jr.' where id between $1 and $1 + 9", [some])
      else if (kind < 0.9) await run('delete from customers where id = $1', [some])
      else {
        const agency = AGENCIES[upTo(AGENCIES.length)]
        await run('insert into customers (agency_id, email, name) values ($1, $2, $3)', [agency, `n${upTo(1e9)}@example.org`, name])
        newest++
      }
      if (random() < 0.1) {
        await client.query('rollback')
        counted.rolledBack++
      } else {
        await client.query('commit')
        counted.transactions++
        counted.rows += changed
      }
      await delay(PAUSE)
    }
  } finally {
    client.release(true)
  }
}

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
