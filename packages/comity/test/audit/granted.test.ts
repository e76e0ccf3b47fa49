/** No team learns of a field that it was not granted, not even whether it has guessed its value. */
import { entity } from '@comity/contract'
import { team } from 'comity'
import { operate } from 'comity/admin'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { answerAudit } from '../../src/audit/answer-audit.ts'
import type { AuditAsked } from '../../src/audit/contracts.ts'
import { unhurried } from './audited-teams.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  state: z.object({ id: z.string(), email: z.string(), iban: z.string() }),
  audiences: { marketing: ['email'], billing: ['email', 'iban'] },
})

test('an audit of a copy with an audience compares what that audience has, and is refused anything else', async () => {
  const bus = testBus()
  await using crm = await testTeam(team('crm').owns(Customer, { table: 'customers' }), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
    setup: (db) => db.query('create table customers (id text primary key, email text not null, iban text not null)'),
  })
  await using marketing = await testTeam(team('marketing').keeps(Customer, { fields: ['email'], audience: 'marketing' } as never), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
  })
  await crm.db.query(`insert into customers values ('a', 'a@example.com', 'DE1')`)
  await marketing.caughtUp()
  const request = {
    id: '00000000-0000-4000-8000-000000000001',
    kind: 'audit',
    arguments: {},
    author: 'ann',
    reason: 'to know',
    origin: 'cli',
  } as const
  await operate(marketing.team.environment, marketing.team.declaration, request)
  const ended = async () => (await marketing.db.query(`select verdict, problem, author from comity.audits where author = 'ann'`)).rows[0]
  await expect.poll(ended, { timeout: 60_000 }).toEqual({ verdict: 'true', problem: null, author: 'ann' })

  const ask = (from: string, audience: string, name: string, what: AuditAsked['what'], subset?: AuditAsked['subset']) =>
    answerAudit(
      {
        ...{ from, replica: `${from}.crm-customer` },
        data: {
          ...{ v: 1, id: '', audit: '', entity: 'crm.customer', audience, what, secret: 'ab'.repeat(32) },
          ...(subset === undefined ? {} : { subset }),
          fields: [
            { name: 'id', kind: 'text' },
            { name, kind: 'text' },
          ],
        },
      },
      { database: crm.db as never, signal: new AbortController().signal, onWaiting: async () => undefined, ...unhurried },
    )
  const digests = { kind: 'digests', depth: 0 } as const
  expect((await ask('marketing', 'marketing', 'email', digests))[0]?.kind).toBe('digests')
  const states = { kind: 'states', keys: ['a'] } as const
  for (const what of [digests, states]) {
    expect(await ask('marketing', 'marketing', 'iban', what)).toEqual([
      { kind: 'refused', reason: expect.stringContaining('has no field iban') },
    ])
    // Whose row is in a subset by a field has that value.
    const byIban = [{ field: 'iban', op: '=', value: 'DE1' }] as const
    expect(await ask('marketing', 'marketing', 'email', what, byIban)).toEqual([
      { kind: 'refused', reason: expect.stringContaining('has no field iban') },
    ])
    expect(await ask('marketing', 'billing', 'iban', what)).toEqual([
      { kind: 'refused', reason: expect.stringContaining('is not the team') },
    ])
  }
  const others = [{ field: 'email', op: '=', value: 'b@example.com' }] as const
  expect(await ask('marketing', 'marketing', 'email', states, others)).toMatchObject([{ states: [{ key: 'a', state: null }] }])
  const told = JSON.stringify(await ask('marketing', 'marketing', 'email', states))
  expect(told).toContain('a@example.com')
  expect(told).not.toContain('DE1')
})
