import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { full } from '../../../../test/support/full.ts'
import { onEachPostgres } from '../../../../test/support/postgres.ts'
import type { AuditedField } from '../../src/audit/audited-field.ts'
import { replicaSource } from '../../src/audit/row-source.ts'
import { columnFromWire, replicaColumnType, SESSION_SETTINGS } from '../../src/outbox/capture/index.ts'
import { arrayLiteral, type Queryable } from '../../src/postgres/index.ts'
import { kindOf } from '../../src/replica/canonical-kind.ts'
import { type CapturedDatabase, capturedDatabase, integer, nullable, plainEntity } from '../outbox/capture/captured-database.ts'
import { createTypes, TYPE_CASES } from '../outbox/capture/type-cases.ts'
import { bucketOf, canonicalRow, rowHash } from './reference.ts'

const secret = '0123456789abcdef'.repeat(4)

// The owner's table through its view, the heads of the same states, the copy that their messages made, and JavaScript: one hash for each row.
onEachPostgres('the canonical form', (server) => {
  let crm: CapturedDatabase
  let citext = false
  beforeAll(async () => {
    crm = await capturedDatabase(server)
    citext = await createTypes(crm)
  })
  afterAll(() => crm[Symbol.asyncDispose]())

  it.each(TYPE_CASES.map((c) => [c.type, JSON.stringify(c.field), c] as const))('%s as %s: one text on every side', async (type, _, c) => {
    if (type === 'citext' && !citext) return
    const table = `c${TYPE_CASES.indexOf(c)}`
    const topic = `crm.${table}`
    await crm.run(`create table ${table} (id int primary key, v ${type})`)
    const Thing = plainEntity('id', { id: integer, v: nullable(c.field) }, undefined, topic)
    await crm.capture(Thing, table)
    const column = replicaColumnType(nullable(c.field))
    await crm.run(`create table r_${table} (id bigint primary key, v ${column}, comity_version bigint)`)
    const fields: AuditedField[] = [
      { name: 'v', kind: kindOf({ type: column }) },
      { name: 'id', kind: 'integer' },
    ]
    const replica = {
      ...{ name: `marketing.${table}`, schema: 'public', table: `r_${table}` },
      columns: [
        { field: 'id', column: 'id', type: 'bigint', key: 0 },
        { field: 'v', column: 'v', type: column },
      ],
    }
    const declare = (source: string): Promise<unknown> =>
      crm.db.query(
        `insert into comity.contracts (topic, kind, source, key_fields, description) values ($1::text, 'entity', $2::text, '{id}', '{}')
         on conflict (topic) do update set source = excluded.source`,
        [topic, source],
      )

    await crm.db.session(async (session) => {
      for (const [name, setting] of Object.entries(SESSION_SETTINGS)) await session.query(`set ${name} = '${setting}'`)
      const values = fc.array(fc.option(c.values, { freq: 12 }), { minLength: 1, maxLength: 40 })
      await fc.assert(
        fc.asyncProperty(values, async (list) => {
          for (const name of [table, `r_${table}`, 'comity.heads']) await session.query(`delete from ${name}`)
          await crm.announced()
          await session.query(`insert into ${table} select i, v::${type} from unnest($1::text::text[]) with ordinality u(v, i)`, [
            arrayLiteral(list),
          ])
          const sent = (await crm.announced()).filter(({ withheld }) => withheld === undefined)
          sent.sort((one, other) => Number(one.key) - Number(other.key))
          const wire = column === 'jsonb' ? `nullif((s.payload::jsonb -> 'v'), 'null')::text` : `s.payload::json ->> 'v'`
          const from = 'from json_to_recordset($1::text::json) s(id bigint, key text, payload text)'
          const messages = [JSON.stringify(sent)]
          await session.query(`insert into r_${table} select s.key::bigint, ${columnFromWire(column, wire)}, s.id ${from}`, messages)
          await session.query(`insert into comity.heads select '${topic}', s.key, s.id, s.payload ${from}`, messages)
          const expected = sent.map(({ key, payload }) => {
            const hash = rowHash(canonicalRow(secret, fields, JSON.parse(payload as string)))
            return [key, bucketOf(hash, 1), hash.subarray(0, 16).toString('hex')]
          })
          const keys = sent.map(({ key }) => key)
          await declare('captured')
          const own = await ownHashes(session, topic, fields)
          expect(own.filter(([key]) => keys.includes(key as string))).toEqual(expected)
          await declare('published')
          expect(await ownHashes(session, topic, fields)).toEqual(expected)
          const source = JSON.stringify(replicaSource(replica, fields))
          expect(await hashes(session, 'audit_rows($2::text::jsonb,', [source])).toEqual(expected)
        }),
        { numRuns: full ? 6 : 2 },
      )
    })
  })

  const ownHashes = (session: Queryable, topic: string, fields: readonly AuditedField[]) =>
    hashes(session, 'audit_own_rows($2::text, $3::text::jsonb, null,', [topic, JSON.stringify(fields)])

  /** Of both buckets of the first depth. */
  async function hashes(session: Queryable, call: string, values: readonly unknown[]): Promise<(string | number)[][]> {
    const all = 'array(select i from generate_series(0, 1) i)'
    const { rows } = await session.query<{ key: string; hash: string; bucket: number }>(
      `select x.key, x.hash, x.bucket from comity.${call} $1::text, null, null, 1, ${all}) x order by x.key::int`,
      [secret, ...values],
    )
    return rows.map(({ key, hash, bucket }) => [key, bucket, hash])
  }
})
