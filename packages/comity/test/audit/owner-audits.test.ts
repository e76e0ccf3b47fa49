/** An owner that is slow is left alone: what copies ask of it waits, and they are told so. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { AuditAsked } from '../../src/audit/contracts.ts'
import { ownerAudits } from '../../src/audit/owner-audits.ts'
import { systemClock } from '../../src/foundation/index.ts'
import type { Database } from '../../src/postgres/database.ts'
import type { Transport } from '../../src/transport/transport.ts'
import { teamDatabase } from '../team-database.ts'

test('an answer waits while small statements take longer than the bound', async () => {
  await using database = await teamDatabase()
  let slow = true
  let answeredSlowly = 0
  const told: string[] = []
  const tired = Object.assign(Object.create(database) as Database, {
    async query(text: string, values?: readonly unknown[]) {
      if (slow && /insert into comity\.audit_copies \(replica, told_at\)\s+select \$1/.test(text)) await systemClock.sleep(60)
      return database.query(text, values as never)
    },
  })
  const transport = {
    async send(_topic: string, messages: readonly { readonly data: string }[]) {
      for (const { data } of messages) {
        const { kind } = JSON.parse(data).told as { kind: string }
        if (slow && kind !== 'waiting') answeredSlowly++
        told.push(kind)
      }
      return messages.map(() => ({ status: 'stored' }))
    },
  } as unknown as Transport
  const { handler, loop } = ownerAudits({
    ...{ team: 'crm', database: tired, latency: 20, life: () => 1 },
    speaker: { team: 'crm', transport, topicNamed: (name) => name },
  })
  await loop.start()
  const data: AuditAsked = {
    ...{ v: 1, id: randomUUID(), audit: randomUUID(), entity: 'crm.nothing', fields: [], secret: '00'.repeat(32) },
    what: { kind: 'digests', depth: 10 },
  }
  await handler.handle([{ from: 'marketing', replica: 'marketing.crm-nothing', data }])
  await expect.poll(() => told).toEqual(['waiting'])
  slow = false
  await expect.poll(() => told, { timeout: 60_000 }).toEqual(['waiting', 'refused'])
  expect(answeredSlowly).toBe(0)
  await loop.stop()
})
