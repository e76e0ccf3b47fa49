import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { full } from '../../../../../test/support/full.ts'
import { onEachPostgres } from '../../../../../test/support/postgres.ts'
import { columnFromWire, replicaColumnType, SESSION_SETTINGS, wireFromColumn } from '../../../src/outbox/capture/index.ts'
import type { Queryable } from '../../../src/postgres/index.ts'
import { arrayLiteral } from '../../../src/postgres/index.ts'
import { type CapturedDatabase, capturedDatabase, integer, nullable, plainEntity } from './captured-database.ts'
import { createTypes, TYPE_CASES } from './type-cases.ts'

onEachPostgres('the type table', (server) => {
  let crm: CapturedDatabase
  let citext = false
  beforeAll(async () => {
    crm = await capturedDatabase(server)
    citext = await createTypes(crm)
  })
  afterAll(() => crm[Symbol.asyncDispose]())

  it.each(TYPE_CASES.map((c) => [c.type, JSON.stringify(c.field), c] as const))(
    '%s as %s: table → wire → replica → wire, byte for byte',
    async (type, _, c) => {
      if (type === 'citext' && !citext) return
      const table = `t${TYPE_CASES.indexOf(c)}`
      await crm.run(`create table ${table} (id int primary key, v ${type})`)
      const Thing = plainEntity('id', { id: integer, v: nullable(c.field) }, undefined, `crm.${table}`)
      await crm.capture(Thing, table)
      const replica = replicaColumnType(nullable(c.field))
      await crm.run(`create table r_${table} (id bigint primary key, v ${replica})`)
      const carry = async (session: Queryable, values: readonly (string | null)[]): Promise<void> => {
        await session.query(`delete from ${table}`)
        await session.query(`delete from r_${table}`)
        await crm.announced()
        await session.query(`insert into ${table} select i, v::${type} from unnest($1::text::text[]) with ordinality u(v, i)`, [
          arrayLiteral(values),
        ])
        await compare(session, table, replica)
        for (const { key, withheld, payload } of await crm.announced()) {
          const value = values[Number(key) - 1]
          const expected = value !== null && value !== undefined && (c.withheld?.(value) ?? false)
          expect({ value, withheld: withheld !== undefined }).toEqual({ value, withheld: expected })
          if (!expected) expect(Object.keys(JSON.parse(payload as string))).toEqual(['id', 'v'])
          else expect(withheld).toMatchObject({ code: expect.stringMatching(/^COMITY_/), path: 'v' })
        }
      }
      await crm.db.session(async (session) => {
        for (const [name, setting] of Object.entries(SESSION_SETTINGS)) await session.query(`set ${name} = '${setting}'`)
        const values = fc.array(fc.option(c.values, { freq: 12 }), { minLength: 1, maxLength: 40 })
        await fc.assert(
          fc.asyncProperty(values, (list) => carry(session, list)),
          { numRuns: full ? 6 : 2 },
        )
      })
    },
  )

  async function compare(session: Queryable, table: string, replica: string): Promise<void> {
    const wire = replica === 'jsonb' ? `nullif((o.payload::jsonb -> 'v'), 'null')::text` : `o.payload::jsonb ->> 'v'`
    const sent = `from comity.outbox o where o.topic = 'crm.${table}' and o.kind = 'created' and o.payload is not null
      and o.id > (select coalesce(max(id), 0) from comity.outbox where topic = 'crm.${table}' and kind = 'deleted')`
    await session.query(`insert into r_${table} select o.key::bigint, ${columnFromWire(replica, wire)} ${sent}`)
    const original = `case when (o.payload::json -> 'v')::text like '"%' and '${replica}' <> 'jsonb' then o.payload::json ->> 'v' else nullif((o.payload::json -> 'v')::text, 'null') end`
    const { rows } = await session.query(
      `select o.key, ${original} as wire, ${wireFromColumn(replica, 'r.v')} as replica from comity.outbox o join r_${table} r on r.id = o.key::bigint
       where o.id in (select o.id ${sent}) and ${original} is distinct from ${wireFromColumn(replica, 'r.v')}`,
    )
    expect(rows).toEqual([])
    const views = await session.query(
      `select o.key, o.payload, v.v from comity.outbox o join comity_public."crm.${table}" v on v.id = o.key::int
       where o.id in (select o.id ${sent}) and o.payload::jsonb -> 'v' is distinct from coalesce(to_jsonb(v.v), 'null')`,
    )
    expect(views.rows).toEqual([])
    await cellsSayTheSame(session, table)
  }

  /** Wherever a backfill may say a row by its cells, they say its state; and they may for whatever is not withheld. */
  async function cellsSayTheSame(session: Queryable, table: string): Promise<void> {
    const { rows: found } = await session.query<{ name: string }>(
      `select attname::text as name from pg_attribute where attrelid = 'comity."crm.${table} state"'::regclass and attname in ('text_2', 'json_2')`,
    )
    const said = found[0]?.name === 'text_2' ? 'to_jsonb(v.text_2)' : 'v.json_2::jsonb'
    const { rows } = await session.query(
      `select v.state, v.withheld, v.cells_fit from comity."crm.${table} state" v
       where v.cells_fit <> (v.withheld is null)
         or v.cells_fit and v.state::jsonb is distinct from jsonb_build_object('id', v.json_1::jsonb, 'v', coalesce(${said}, 'null'))`,
    )
    expect(rows).toEqual([])
  }
})
