/** Messages of an audit may be lost, or never answered: then it asks again, and at last it is inconclusive. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answersKept, type Questions, questions } from '../../src/audit/questions.ts'
import { systemClock } from '../../src/foundation/index.ts'
import type { Transport } from '../../src/transport/transport.ts'
import { teamDatabase } from '../team-database.ts'

const replica = 'marketing.crm-customer'
let database: Awaited<ReturnType<typeof teamDatabase>>
beforeAll(async () => {
  database = await teamDatabase()
  await database.query(`insert into comity.audits (replica, cause, author, reason) values ($1::text, 'operator', 'a test', 'to know')`, [
    replica,
  ])
})
afterAll(() => database.close())

/** @param answer what becomes of the nth time that the question is sent */
function asking(
  answer: (id: string, n: number) => Promise<void>,
  patience = 20_000,
): { readonly asks: () => number; readonly it: Questions } {
  let asks = 0
  const transport = {
    async send(_topic: string, messages: readonly { readonly data: string }[]) {
      for (const { data } of messages) void answer(JSON.parse(data).id, ++asks)
      return messages.map(() => ({ status: 'stored' }))
    },
  } as unknown as Transport
  const it = questions({
    ...{ database, owner: 'crm', replica, patience, clock: systemClock, signal: new AbortController().signal },
    speaker: { team: 'marketing', transport, topicNamed: (name) => name },
    audit: { audit: 'a', entity: 'crm.customer', fields: [], secret: '' },
    onWaiting: async () => undefined,
  })
  return { asks: () => asks, it }
}

async function tell(id: string, answer: string, part: number, parts: number, told: object): Promise<void> {
  await answersKept(database).handle([{ from: 'crm', replica, data: { v: 1, id, answer, part, parts, told: told as never } }])
}
const uuid = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`
const digests = (bucket: number) => ({ kind: 'digests', digests: [[bucket, 1, 'aa', 'bb']] })

test('a question that is not answered is asked again; parts of two answers are never put together', async () => {
  const { it, asks } = asking(async (id, n) => {
    if (n === 1) return tell(id, uuid(1), 1, 2, digests(1)) // its second part was lost
    await tell(id, uuid(2), 2, 2, digests(3))
    await tell(id, uuid(2), 2, 2, digests(3)) // delivered twice
    await tell(id, uuid(2), 1, 2, digests(2))
  }, 600)
  const parts = await it.ask<'digests'>({ kind: 'digests', depth: 10 })
  expect(parts.map((part) => part.digests[0]?.[0])).toEqual([2, 3])
  expect(asks()).toBe(2)
  expect(it.bytes).toBeGreaterThan(100)
  expect((await database.query('select 1 from comity.audit_answers')).rows).toEqual([])
})

test('an owner that is silent, or older, is no drift; one that waits for a transaction is alive', async () => {
  const silent = asking(async () => undefined, 300)
  await expect(silent.it.ask({ kind: 'digests', depth: 10 })).rejects.toMatchObject({ code: 'COMITY_AUDIT_UNANSWERED' })
  expect(silent.asks()).toBeGreaterThan(1)
  let answers = 0
  const slow = asking(async (id, n) => {
    if (n > 1) return
    for (; answers < 4; answers++) {
      await tell(id, uuid(answers), 1, 1, { kind: 'waiting', for: '[]' })
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    await tell(id, uuid(9), 1, 1, digests(1))
  }, 400)
  expect(await slow.it.ask({ kind: 'digests', depth: 10 })).toHaveLength(1)
})

test('what the owner does not grant is said', async () => {
  const { it } = asking((id) => tell(id, uuid(1), 1, 1, { kind: 'refused', reason: 'crm.customer has no field iban for it' }))
  await expect(it.ask({ kind: 'digests', depth: 10 })).rejects.toThrow('no field iban')
})
