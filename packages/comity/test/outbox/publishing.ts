import { entity, event, jsonSchema } from '@comity/contract'
import { z } from 'zod'
import type { PostgresDatabase } from '../../src/postgres/index.ts'
import { teamDatabase } from '../team-database.ts'

/** What the tests of the publishing door publish. */
export const Customer = entity('crm.customer', {
  key: 'id',
  tenant: 'agencyId',
  state: z.object({ id: z.string(), agencyId: z.string(), email: z.string().max(40), visits: z.int().optional() }),
})
export const Parcel = entity('crm.parcel', {
  key: ['region', 'number'],
  state: z.object({ region: z.string(), number: z.int(), weight: z.number().optional() }),
})
export const Noted = event('crm.noted', {
  key: 'id',
  data: jsonSchema<{ id: string; body: unknown }>({
    type: 'object',
    properties: { id: { type: 'string' }, body: {} },
    required: ['id', 'body'],
  }),
})
export const Counted = event('crm.counted', {
  key: 'id',
  tenant: 'shop',
  ordered: true,
  data: z.object({ id: z.int(), shop: z.int(), n: z.number() }),
})
export const contracts = [Customer, Parcel, Noted, Counted]

export interface Stored {
  readonly id: number
  readonly topic: string
  readonly key: string
  readonly kind: string
  readonly tenant: string | null
  readonly payload: string | null
  readonly headers: string | null
  readonly checked: boolean
}

export interface PublishingDatabase extends PostgresDatabase {
  readonly url: string
  /** The outbox, in order of version. */
  outbox(topic?: string): Promise<Stored[]>
  /** Everything that publishing may leave behind, as one text. */
  traces(): Promise<string>
  /** Calls `comity.publish` in autocommit, as any language would. */
  publishBySql(
    topic: string,
    data: string | null,
    rest?: { readonly kind?: string; readonly headers?: string; readonly key?: string; readonly tenant?: string },
  ): Promise<number>
}

export async function publishingDatabase(): Promise<PublishingDatabase> {
  const database = await teamDatabase(contracts)
  return Object.assign(database, {
    async outbox(topic?: string) {
      const { rows } = await database.query<Omit<Stored, 'id'> & { id: string }>(
        `select id::text as id, topic, key, kind, tenant, payload, headers, checked from comity.outbox
         where $1::text is null or topic = $1::text order by comity.outbox.id`,
        [topic ?? null],
      )
      return rows.map((row) => ({ ...row, id: Number(row.id) }))
    },
    async traces() {
      const { rows } = await database.query<{ traces: string }>(
        `select json_build_object('outbox', (select json_agg(o order by o.id) from comity.outbox o), 'heads', (select json_agg(h order by h.topic, h.key) from comity.heads h),
                'contracts', (select json_agg(c.topic order by c.topic) from comity.contracts c))::text as traces`,
      )
      return (rows[0] as { traces: string }).traces
    },
    async publishBySql(topic: string, data: string | null, rest: { kind?: string; headers?: string; key?: string; tenant?: string } = {}) {
      const { rows } = await database.query<{ version: string }>(
        `select comity.publish($1::text, $2::text, $3::text, $4::text, $5::text, $6::text)::text as version`,
        [topic, data, rest.kind ?? null, rest.headers ?? null, rest.key ?? null, rest.tenant ?? null],
      )
      return Number(rows[0]?.version)
    },
  })
}
