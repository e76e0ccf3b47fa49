import type { Entity } from '@comity/contract'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { full } from '../../../../../test/support/full.ts'
import { onNewestPostgres } from '../../../../../test/support/postgres.ts'
import type { Queryable } from '../../../src/postgres/index.ts'
import { type CapturedDatabase, capturedDatabase, integer, nullable, plainEntity, string } from './captured-database.ts'

/** An existing table: its DDL, its key columns, and the SQL of its nth key. */
interface Table {
  readonly name: string
  readonly ddl: readonly string[]
  readonly key: readonly string[]
  readonly nth: (index: number) => string
  readonly contract: Entity
}
const state = { mail: nullable(string), score: nullable(string) }
const columns = 'mail text, score numeric, internal int'
const TABLES: readonly Table[] = [
  {
    name: 'by_int',
    ddl: [`create table by_int (id int primary key, ${columns})`],
    key: ['id'],
    nth: String,
    contract: plainEntity('id', { id: integer, ...state }, undefined, 'crm.by-int'),
  },
  {
    name: 'by_bigint',
    ddl: [`create table by_bigint (id bigint primary key, ${columns})`],
    key: ['id'],
    nth: (i) => `90071992547409${i}`,
    contract: plainEntity('id', { id: string, ...state }, undefined, 'crm.by-bigint'),
  },
  {
    name: 'by_uuid',
    ddl: [`create table by_uuid (${columns}, id uuid unique not null)`],
    key: ['id'],
    nth: (i) => `md5('${i}')::uuid`,
    contract: plainEntity('id', { id: string, ...state }, undefined, 'crm.by-uuid'),
  },
  {
    name: 'by_text',
    ddl: [`create table by_text (id text primary key, ${columns})`],
    key: ['id'],
    nth: (i) => `'k"${'é\\'.repeat(i)}'`,
    contract: plainEntity('id', { id: string, ...state }, undefined, 'crm.by-text'),
  },
  {
    name: 'by_numeric',
    ddl: [`create table by_numeric (id numeric primary key, ${columns})`],
    key: ['id'],
    nth: (i) => `${i % 5}.${'0'.repeat(i % 3)}`,
    contract: plainEntity('id', { id: string, ...state }, undefined, 'crm.by-numeric'),
  },
  {
    name: 'by_pair',
    ddl: [`create table by_pair (a int, b text, ${columns}, primary key (b, a))`],
    key: ['a', 'b'],
    nth: (i) => `${i % 3}, 'b ${i % 4}'`,
    contract: plainEntity(['a', 'b'], { a: integer, b: string, ...state }, undefined, 'crm.by-pair'),
  },
  {
    name: 'parted',
    ddl: [
      `create table parted (a int, b text, ${columns}, primary key (a, b)) partition by list (a)`,
      'create table parted_0 partition of parted for values in (0)',
      `create table parted_1 (b text not null, ${columns}, a int not null)`,
      'alter table parted attach partition parted_1 for values in (1)',
      'create table parted_x partition of parted default',
    ],
    key: ['a', 'b'],
    nth: (i) => `${i % 3}, 'b ${i % 4}'`,
    contract: plainEntity(['a', 'b'], { a: integer, b: string, ...state }, undefined, 'crm.parted'),
  },
]

type Command =
  | { readonly do: 'insert' | 'upsert' | 'ignore'; readonly rows: readonly (readonly [number, number])[] }
  | { readonly do: 'update' | 'touch'; readonly keys: readonly number[]; readonly value: number }
  | { readonly do: 'rekey'; readonly moves: readonly (readonly [number, number])[] }
  | { readonly do: 'delete'; readonly keys: readonly number[] }
  | { readonly do: 'truncate' }
  | { readonly do: 'group'; readonly commands: readonly Command[]; readonly end: 'commit' | 'rollback' }

const index = fc.integer({ min: 0, max: 9 })
const keys = fc.uniqueArray(index, { minLength: 1, maxLength: 5 })
const simple: fc.Arbitrary<Command> = fc.oneof(
  {
    arbitrary: fc.record({
      do: fc.constantFrom('insert' as const, 'upsert' as const, 'ignore' as const),
      rows: fc.uniqueArray(fc.tuple(index, index), { minLength: 1, maxLength: 4, selector: ([i]) => i }),
    }),
    weight: 6,
  },
  { arbitrary: fc.record({ do: fc.constantFrom('update' as const, 'touch' as const), keys, value: index }), weight: 4 },
  {
    arbitrary: fc.record({
      do: fc.constant('rekey' as const),
      moves: fc.uniqueArray(fc.tuple(index, index), { minLength: 1, maxLength: 4, selector: ([i]) => i }),
    }),
    weight: 4,
  },
  { arbitrary: fc.record({ do: fc.constant('delete' as const), keys }), weight: 3 },
  { arbitrary: fc.constant({ do: 'truncate' as const }), weight: 1 },
)
const group = (commands: fc.Arbitrary<Command>): fc.Arbitrary<Command> =>
  fc.record({
    do: fc.constant('group' as const),
    commands: fc.array(commands, { minLength: 1, maxLength: 4 }),
    end: fc.constantFrom('commit' as const, 'rollback' as const),
  })
const commands = fc.array(
  fc.oneof(
    { arbitrary: simple, weight: 3 },
    { arbitrary: group(fc.oneof({ arbitrary: simple, weight: 3 }, { arbitrary: group(simple), weight: 1 })), weight: 1 },
  ),
  { maxLength: 20 },
)

function sqlOf(table: Table, command: Exclude<Command, { do: 'group' }>): string {
  const names = table.key.join(', ')
  const among = (list: readonly number[]): string => `(${names}) in (${list.map((i) => `(${table.nth(i)})`).join(', ')})`
  switch (command.do) {
    case 'insert':
    case 'upsert':
    case 'ignore': {
      const rows = command.rows.map(([i, value]) => `(${table.nth(i)}, 'm${value}', ${value % 3}.0)`).join(', ')
      const conflict = {
        insert: '',
        ignore: 'on conflict do nothing',
        upsert: `on conflict (${names}) do update set mail = excluded.mail`,
      }[command.do]
      return `insert into ${table.name} (${names}, mail, score) values ${rows} ${conflict}`
    }
    case 'update':
      return `update ${table.name} set mail = nullif('m${command.value}', 'm0'), internal = ${command.value} where ${among(command.keys)}`
    case 'touch':
      return `update ${table.name} set internal = coalesce(internal, 0) + 1, score = score where ${among(command.keys)}`
    case 'rekey': {
      const target = (column: number): string =>
        `case ${command.moves.map(([from, to]) => `when (${names}) = (${table.nth(from)}) then ${part(table.nth(to), column)}`).join(' ')} end`
      return `update ${table.name} set ${table.key.map((name, i) => `${name} = ${target(i)}`).join(', ')} where ${among(command.moves.map(([from]) => from))}`
    }
    case 'delete':
      return `delete from ${table.name} where ${among(command.keys)}`
    case 'truncate':
      return `truncate ${table.name}`
  }
}

function part(key: string, column: number): string {
  return key.split(/, (?=')/)[column] as string
}

/** Each command a transaction; writers that meet may have to give way. */
async function write(session: Queryable, table: Table, list: readonly Command[], isolation: string): Promise<void> {
  for (const command of list) {
    try {
      await session.query(`begin isolation level ${isolation}`)
      await run(session, table, [command])
      await session.query('commit')
    } catch (error) {
      if (!['40P01', '40001'].includes((error as { code: string }).code)) throw error
      await session.query('rollback')
    }
  }
}

/** Statements may fail (a key that is there already, TRUNCATE under another isolation): each has a savepoint. */
async function run(session: Queryable, table: Table, list: readonly Command[]): Promise<void> {
  for (const command of list) {
    await session.query('savepoint s')
    try {
      if (command.do === 'group') {
        await run(session, table, command.commands)
        if (command.end === 'rollback') await session.query('rollback to s')
      } else {
        await session.query(sqlOf(table, command))
      }
    } catch (error) {
      if (!['23505', '21000', 'CM007', '55006'].includes((error as { code: string }).code)) throw error
      await session.query('rollback to s')
    }
    await session.query('release s')
  }
}

onNewestPostgres('any sequence of statements', (server) => {
  let crm: CapturedDatabase
  beforeAll(async () => {
    crm = await capturedDatabase(server)
    for (const table of TABLES) {
      await crm.run(...table.ddl)
      await crm.capture(table.contract, table.name)
    }
    await crm.run(
      `create function again() returns trigger language plpgsql as $$ begin
         if new.mail = 'm1' then update by_text set mail = 'm1 again' where id = new.id; end if;
         if new.mail = 'm2' then delete from by_text where id = new.id; end if; return null; end $$`,
      'create trigger again after insert or update on by_text for each row execute function again()',
    )
  })
  afterAll(() => crm[Symbol.asyncDispose]())

  it.each(TABLES.map((table) => [table.name, table] as const))('leaves an outbox that folds to the table %s', async (_, table) => {
    await fc.assert(
      fc.asyncProperty(commands, fc.constantFrom('read committed', 'repeatable read', 'serializable'), async (list, isolation) => {
        await crm.db.session((session) => write(session, table, list, isolation))
        expect(await differences(table)).toEqual([])
      }),
      { numRuns: full ? 50 : 12 },
    )
    expect(await crm.value(`select count(*)::int from comity.outbox where topic = '${table.contract.name}'`)).toBeGreaterThan(0)
  })

  it.each(TABLES.map((table) => [table.name, table] as const))('leaves it so when four write at once: %s', async (_, table) => {
    await fc.assert(
      fc.asyncProperty(fc.tuple(commands, commands, commands, commands), async (writers) => {
        await Promise.all(writers.map((list) => crm.db.session((session) => write(session, table, list, 'read committed'))))
        expect(await differences(table)).toEqual([])
      }),
      { numRuns: full ? 15 : 3 },
    )
  })

  /** Keys whose newest announcement is not what the table has. */
  async function differences(table: Table): Promise<unknown[]> {
    const topic = table.contract.name
    const { rows } = await crm.db.query(`
      select coalesce(o.key, v.key) as key, o.kind, o.payload, v.state
      from (select distinct on (key) key, kind, payload from comity.outbox where topic = '${topic}' order by key, id desc) o
        full join comity."${topic} state" v on v.key = o.key
      where v.state is distinct from o.payload or (v.key is null) <> (o.kind = 'deleted')`)
    return rows
  }
})
