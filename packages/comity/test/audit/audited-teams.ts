import { entity } from '@comity/contract'
import { type Team, team } from 'comity'
import { type TestTeam, testBus } from 'comity/testing'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import type { CopyingSpeaker } from '../../src/control/copying-channel.ts'
import { systemClock } from '../../src/foundation/index.ts'

export const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string(), name: z.string().nullable(), score: z.number() }),
})
/** Published by code, with a composite key. */
export const Seat = entity('crm.seat', {
  key: ['row', 'number'],
  state: z.object({ row: z.string(), number: z.int(), guest: z.string().nullable(), tags: z.record(z.string(), z.any()) }),
})

/** An owner that answers without a rest. */
export const unhurried = { between: async () => undefined, clock: systemClock } as const

export interface AuditedTeams extends AsyncDisposable {
  readonly crm: TestTeam<unknown>
  readonly marketing: TestTeam<unknown>
  /** CRM, as it speaks about copies. */
  readonly speaker: CopyingSpeaker
  /** Seats as the owner announces them. */
  seat(state: { row: string; number: number; guest: string | null; tags: Record<string, unknown> } | string): Promise<void>
  /** Has a copy compared, and answers what came of it. */
  audit(replica?: string, options?: { readonly repair?: boolean; readonly extent?: 'full' | 'keys' }): Promise<Audited>
}
export interface Audited {
  readonly id: string
  readonly verdict: string
  readonly problem: string | null
  /** `key: class`, sorted. */
  readonly findings: readonly string[]
  /** After a repair. */
  readonly after: readonly string[]
  readonly row: Readonly<Record<string, unknown>>
}

/** CRM with `rows` customers, and Marketing that keeps them; both caught up. */
export async function auditedTeams(rows: number, crmTeam: (crm: Team) => Team = (crm) => crm): Promise<AuditedTeams> {
  const bus = testBus()
  const crm = (await testTeam(crmTeam(team('crm').owns(Customer, { table: 'customers' }).owns(Seat)), {
    bus,
    url: (await freshDatabase({ migrated: true })).url,
    async setup(db) {
      await db.query(
        'create table customers (id text primary key, agency_id text not null, email text not null, name text, score float8 not null, notes text)',
      )
      await db.query(
        `insert into customers select 'c' || i, 'a' || i % 3, 'c' || i || '@example.com', 'Customer ' || i, i / 10.0 from generate_series(1, $1::int) i`,
        [rows],
      )
    },
  })) as unknown as TestTeam<unknown>
  const marketing = (await testTeam(
    team('marketing')
      .keeps(Customer, { fields: ['email', 'name', 'score'] })
      .keeps(Seat, { fields: ['guest', 'tags'] }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )) as unknown as TestTeam<unknown>
  const filled = `select count(*)::int as n from comity.asked_backfills where state <> 'ready'`
  for (let n = 1; n > 0; ) {
    n = ((await marketing.db.query<{ n: number }>(filled)).rows[0] as { n: number }).n
    if (n > 0) await marketing.caughtUp()
  }

  return {
    crm,
    marketing,
    speaker: { team: 'crm', transport: bus.memory.connect(), topicNamed: (name) => name },
    async seat(state) {
      await crm.db.transaction(async (tx) => {
        const own = crm.team as unknown as Team
        if (typeof state === 'string') await own.publish(tx, Seat, JSON.parse(state), { deleted: true } as never)
        else await own.publish(tx, Seat, state)
      })
      await marketing.caughtUp()
    },
    async audit(replica = 'marketing.crm-customer', { repair = false, extent = 'full' } = {}) {
      const { rows: asked } = await marketing.db.query<{ id: string }>(
        `insert into comity.audits (replica, extent, repair, cause, author, reason) values ($1::text, $2::text, $3::text::boolean, 'operator', 'a test', 'to know')
         returning id::text as id`,
        [replica, extent, String(repair)],
      )
      const id = asked[0]?.id as string
      for (;;) {
        const { rows: found } = await marketing.db.query<Audited['row']>('select * from comity.audits where id = $1::text::uuid', [id])
        const row = found[0] as Audited['row']
        if (row.state === 'ended') {
          const named = await marketing.db.query<{ key: string; class: string; after: string | null }>(
            'select key, class, after from comity.audit_findings where audit = $1::text::uuid order by key collate "C"',
            [id],
          )
          return {
            ...{ id, verdict: row.verdict as string, problem: row.problem as string | null, row },
            findings: named.rows.map((one) => `${one.key}: ${one.class}`),
            after: named.rows.map((one) => `${one.key}: ${one.after}`),
          }
        }
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    async [Symbol.asyncDispose]() {
      await marketing[Symbol.asyncDispose]()
      await crm[Symbol.asyncDispose]()
    },
  }
}
