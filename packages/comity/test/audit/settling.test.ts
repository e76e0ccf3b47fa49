/** Suspects are settled by cause, not by time: who still commits, what is newer than what was read, what has not arrived. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerAudit } from '../../src/audit/answer-audit.ts'
import type { AuditAnswer } from '../../src/audit/contracts.ts'
import { connect } from '../../src/postgres/index.ts'
import { type AuditedTeams, auditedTeams, unhurried } from './audited-teams.ts'

let on: AuditedTeams
beforeAll(async () => {
  on = await auditedTeams(50)
})
afterAll(() => on[Symbol.asyncDispose]())

const fields = [
  { name: 'id', kind: 'text' },
  { name: 'name', kind: 'text' },
] as const

function ask(key: string, onWaiting: () => void = () => undefined): Promise<readonly AuditAnswer[]> {
  return answerAudit(
    {
      ...{ from: 'marketing', replica: 'marketing.crm-customer' },
      data: { v: 1, id: '', audit: '', entity: 'crm.customer', fields, secret: 'ab'.repeat(32), what: { kind: 'keys', keys: [key] } },
    },
    { database: on.crm.db as never, signal: new AbortController().signal, onWaiting: async () => onWaiting(), ...unhurried },
  )
}
type Held = Extract<AuditAnswer, { kind: 'keys' }>

test('the owner waits for whoever drew a version before it and has not committed: else it would tell an old row of a new version', async () => {
  const before = (await ask('c10')) as readonly Held[]
  await using other = connect(on.crm.url)
  let waited: (() => void) | undefined
  const waiting = new Promise<void>((resolve) => {
    waited = resolve
  })
  let answer: Promise<readonly AuditAnswer[]> | undefined
  await other.transaction(async (tx) => {
    await tx.query(`update customers set name = 'committed later' where id = 'c10'`)
    answer = ask('c10', waited)
    // Ended by whichever comes first: the answer must not.
    expect(await Promise.race([waiting.then(() => 'waits'), answer.then(() => 'answered')])).toBe('waits')
  })
  const [after] = (await answer) as readonly Held[]
  expect(after?.keys[0]?.moving).toBeUndefined()
  expect(after?.keys[0]?.hash).not.toBe(before[0]?.keys[0]?.hash)
  expect(after?.keys[0]?.version).toBeLessThan(after?.version as number)
})

test('a key with a change above the version that was drawn is moving', async () => {
  const { crm } = on
  const [drawn] = (await ask('c11')) as readonly Held[]
  await crm.db.query(`update customers set name = 'newer' where id = 'c11'`)
  const { rows } = await crm.db.query(
    `select key, moving from comity.audit_own_keys('crm.customer', $1::text::jsonb, null, $2::text, '{c11,c12}', $3::text::bigint) order by key`,
    [JSON.stringify(fields), 'ab'.repeat(32), String(drawn?.version)],
  )
  expect(rows).toEqual([
    { key: 'c11', moving: true },
    { key: 'c12', moving: false },
  ])
})

test('what has not arrived here yet is no drift: the copy compares when it has passed the version', async () => {
  const { crm, marketing } = on
  await marketing.caughtUp()
  await marketing.db.query(
    `insert into comity.pauses (subscription, by, reason, author) values ('marketing.crm-customer', 'operator', 'a test', 'a test')`,
  )
  await crm.db.query(`update customers set name = 'on its way' where id = 'c20'`)
  await crm.db.query(`delete from customers where id = 'c21'`)
  const audit = on.audit()
  const held = async () =>
    (await crm.db.query('select 1 from comity.audit_marks')).rows.length === 0 &&
    (await marketing.db.query(`select state from comity.audits where state = 'settling'`)).rows.length === 1
  await expect.poll(held, { timeout: 60_000 }).toBe(true)
  await marketing.db.query('delete from comity.pauses')
  expect(await audit).toMatchObject({ verdict: 'true', findings: [], row: { suspects: 2 } })
})
