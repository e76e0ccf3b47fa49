import { event, messageId, sourceOf, toAttributes } from '@comity/contract'
import { team } from 'comity'
import type { TestBus, TestTeam } from 'comity/testing'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import type { OnOptions } from '../../src/team/declared-options.ts'
import type { Team, TeamContext } from '../../src/team/team-surface.ts'

export const Sent = event('marketing.sent', {
  key: 'customer',
  tenant: 'agency',
  data: z.object({ customer: z.string(), agency: z.string(), n: z.int() }),
})
export const SENT = 'crm.marketing-sent'

export type Sql = { query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }> }
export type Message = ReturnType<typeof message>

let version = 1000
/** A message as Marketing's relay would send it. */
export function message(customer: string, n: number, agency = 'a1', overrides: { readonly time?: string } = {}) {
  const id = messageId('marketing', ++version)
  const time = overrides.time ?? new Date().toISOString()
  return {
    id,
    key: customer,
    attributes: toAttributes({
      ...{ id, source: sourceOf('marketing'), type: 'marketing.sent', subject: customer, time, version, kind: 'event', tenant: agency },
    }),
    data: JSON.stringify({ customer, agency, n }),
  }
}

export const send = (bus: TestBus, ...messages: Message[]) => bus.memory.connect().send('marketing.sent', messages)

export interface Handled {
  readonly customer: string
  readonly agency: string
  readonly n: number
  readonly replayed: boolean
}

/** A team whose handler writes a row of `effects` for each message, unless `decide` throws. */
export async function crm(
  bus: TestBus,
  decide: (handled: Handled, context: TeamContext<Sql>) => unknown,
  options: Omit<OnOptions, 'fields'> = {},
  more: { readonly url?: string; readonly configure?: (team: Team<Sql>) => Team<Sql>; readonly setUp?: boolean } = {},
): Promise<TestTeam<Sql>> {
  const declared = team<Sql>('crm', { allowEdit: true }).on(
    Sent,
    async ({ data, replayed }, context) => {
      await decide({ ...data, replayed }, context as TeamContext<Sql>)
      await context.tx.query('insert into effects (customer, n) values ($1, $2)', [data.customer, data.n])
    },
    { attempts: 1, ...options },
  )
  return testTeam(more.configure?.(declared) ?? declared, {
    bus,
    url: more.url ?? (await freshDatabase({ migrated: true })).url,
    setup: (db) => (more.setUp === false ? Promise.resolve() : db.query('create table effects (seq bigserial, customer text, n int)')),
  })
}

export const effects = async (db: Sql, customer?: string) =>
  (await db.query('select n from effects where $1::text is null or customer = $1::text order by seq', [customer ?? null])).rows.map(
    (row) => row.n,
  )
