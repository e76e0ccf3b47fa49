/** A table that takes longer than a statement may is gone through in slices, on both sides. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerAudit } from '../../src/audit/answer-audit.ts'
import { auditedCopy } from '../../src/audit/audited-copy.ts'
import type { AuditAnswer, AuditQuestion } from '../../src/audit/contracts.ts'
import { connect, type PostgresDatabase } from '../../src/postgres/index.ts'
import { reader } from '../../src/subscription/reading.ts'
import { type AuditedTeams, auditedTeams, Customer, unhurried } from './audited-teams.ts'

const ROWS = 600
const SECRET = '0123456789abcdef'.repeat(4)
let on: AuditedTeams
let crm: PostgresDatabase
let marketing: PostgresDatabase
beforeAll(async () => {
  on = await auditedTeams(ROWS)
  // All rows take longer than this.
  crm = connect(on.crm.url, { sessionTimeout: '400ms' })
  marketing = connect(on.marketing.url, { sessionTimeout: '400ms' })
  await on.marketing.db.query('create table slow (id text primary key, more jsonb, comity_version bigint)')
  await on.marketing.db.query(`insert into slow select 'k' || i, to_jsonb(i), i from generate_series(1, ${ROWS}) i`)
})
afterAll(async () => {
  await crm?.close()
  await marketing?.close()
  await on?.[Symbol.asyncDispose]()
})

/** Of each row: a millisecond, or nothing. */
const tire = (team: 'crm' | 'marketing', canonical: string, type: string, seconds: number): Promise<unknown> =>
  on[team].db.query(
    `create or replace function comity.${canonical}(x ${type}) returns text language plpgsql stable as $$
     begin perform pg_sleep(${seconds}); return x::text; end $$`,
  )

test('the owner’s', async () => {
  await on.crm.db.query('drop function comity.canonical_integer(text)')
  const ask = async (what: AuditQuestion): Promise<readonly AuditAnswer[]> =>
    answerAudit(
      {
        ...{ from: 'marketing', replica: 'marketing.crm-customer' },
        data: {
          ...{ v: 1, id: '', audit: '', entity: 'crm.customer', secret: SECRET, what },
          fields: [
            { name: 'id', kind: 'text' },
            { name: 'name', kind: 'integer' },
          ],
        },
      },
      { database: crm, signal: new AbortController().signal, onWaiting: async () => undefined, ...unhurried },
    )
  const look = async () => {
    const digests = (await ask({ kind: 'digests', depth: 4 })).flatMap((part) => (part.kind === 'digests' ? part.digests : []))
    const listed = (await ask({ kind: 'rows', of: { depth: 4, buckets: [3] } })).flatMap((part) => (part.kind === 'rows' ? part.rows : []))
    return { digests, rows: digests.reduce((sum, [, count]) => sum + count, 0), listed: listed.map(String).sort() }
  }
  await tire('crm', 'canonical_integer', 'text', 0)
  const quickly = await look()
  expect(quickly.rows).toBe(ROWS)
  await tire('crm', 'canonical_integer', 'text', 0.001)
  expect(await look()).toEqual(quickly)
})

test('the copy’s', async () => {
  await on.marketing.db.query('drop function comity.canonical_json(jsonb)')
  const rests: number[] = []
  const copy = auditedCopy({
    ...{ database: marketing, secret: SECRET, signal: new AbortController().signal, permit: (work) => work() },
    clock: { ...unhurried.clock, sleep: async (ms) => void rests.push(ms) },
    reader: reader({ contract: Customer, schema: Customer.schema, lifts: [] }),
    shape: {
      ...{ name: 'marketing.slow', schema: 'public', table: 'slow' },
      columns: [
        { field: 'id', column: 'id', type: 'text', key: 0 },
        { field: 'more', column: 'more', type: 'jsonb' },
      ],
    },
    fields: [
      { name: 'id', kind: 'text' },
      { name: 'more', kind: 'json' },
    ],
  })
  const look = async () => {
    const listed = await copy.rows({ depth: 4, buckets: [3] })
    return { digests: await copy.digests(4), listed: listed.map(({ key, hash }) => `${key} ${hash}`).sort() }
  }
  await tire('marketing', 'canonical_json', 'jsonb', 0)
  const quickly = await look()
  expect(quickly.digests.reduce((sum, { count }) => sum + count, 0)).toBe(ROWS)
  await tire('marketing', 'canonical_json', 'jsonb', 0.001)
  rests.length = 0
  expect(await look()).toEqual(quickly)
  // It took 600 ms twice, all but the last slices of it followed by a rest of as long.
  expect(rests.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(ROWS)
})
