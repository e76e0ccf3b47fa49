/** Many corruptions of eight kinds at once, in a copy of which most is true: each is named with its class, and nothing else. In the long form, 10,000. */
import { expect, test } from 'vitest'
import { full } from '../../../../test/support/full.ts'
import { auditedTeams } from './audited-teams.ts'

const CORRUPTED = full ? 10_000 : 400
const ROWS = full ? 40_000 : 1500
/** Rows of one kind: every eighth of the first. */
const NUMBER = `translate(id, 'xc', '')::int`
const of = (kind: number): string => `${NUMBER} % 8 = ${kind} and ${NUMBER} <= ${CORRUPTED} and id like 'c%'`

const KINDS: readonly { readonly what: string; readonly sql: string; readonly class: string }[] = [
  { what: 'a missing row', sql: `delete from crm_customer where ${of(0)}`, class: 'missing' },
  {
    what: 'an extra row',
    sql: `insert into crm_customer select 'x' || id, agency_id, email, name, score, comity_version from crm_customer where ${of(1)}`,
    class: 'extra',
  },
  { what: 'a stale version', sql: `update crm_customer set name = 'old', comity_version = 1 where ${of(2)}`, class: 'stale' },
  { what: 'one field changed', sql: `update crm_customer set score = score + 1e-9 where ${of(3)}`, class: 'different' },
  { what: 'NULL for empty', sql: `update crm_customer set name = null where ${of(4)}`, class: 'different' },
  { what: 'case', sql: `update crm_customer set email = upper(email) where ${of(5)}`, class: 'different' },
  { what: 'swapped fields', sql: `update crm_customer set email = name, name = email where ${of(6)}`, class: 'different' },
  {
    what: 'two rows exchanged',
    sql: `update crm_customer a set email = b.email, name = b.name, score = b.score, agency_id = b.agency_id from crm_customer b
      where ${of(7).replaceAll('id', 'a.id')} and b.id = 'c' || substr(a.id, 2)::int + case when substr(a.id, 2)::int % 16 = 7 then 8 else -8 end`,
    class: 'different',
  },
]

test('each corruption is found and named with its class, nothing else is, and a repair leaves none', { timeout: 300_000 }, async () => {
  await using on = await auditedTeams(ROWS)
  const { crm, marketing } = on
  await crm.db.query(`update customers set name = 'new' where ${of(2)}`)
  await crm.db.query(`update customers set name = '' where ${of(4)}`)
  await marketing.caughtUp()
  for (const { sql } of KINDS) await marketing.db.query(sql)
  const expected = Array.from({ length: CORRUPTED }, (_, i) => {
    const kind = (i + 1) % 8
    return `${kind === 1 ? 'x' : ''}c${i + 1}: ${KINDS[kind]?.class}`
  })
  const sorted = (list: readonly string[]) => [...list].sort()
  const found = await on.audit(undefined, { repair: true })
  expect(sorted(found.findings)).toEqual(sorted(expected))
  expect(found).toMatchObject({ verdict: 'true', row: { suspects: CORRUPTED } })
  expect(new Set(found.after.map((one) => one.split(': ')[1]))).toEqual(new Set(['true']))
  expect(await on.audit()).toMatchObject({ verdict: 'true', findings: [], row: { our_rows: String(ROWS), their_rows: String(ROWS) } })
})
