import type { Environment } from '../../catalog/environment.ts'
import type { Removed } from '../../erasure/contracts.ts'
import type { OwnRemoved } from '../../erasure/erase-own.ts'
import type { Queryable } from '../../postgres/index.ts'
import { isoTime } from './iso-time.ts'

/** Who reads what of this team, as that team has said itself. Times are ISO 8601. */
export interface HolderRecord {
  readonly team: string
  readonly subscription: string
  readonly topic: string
  /** `replica`: it keeps a copy; `handler`: its code is told of each change. */
  readonly kind: 'handler' | 'replica'
  /** Beside key and tenant. */
  readonly fields: readonly string[]
  readonly audience: string | null
  /** When it last said so; a team that runs says it every hour. */
  readonly heardAt: string
  /** When it said that it does not read it any more. */
  readonly goneAt: string | null
}

/** What one holder has answered. */
export interface ErasureReceipt {
  readonly team: string
  readonly erasedAt: string
  /** Until when the broker may keep what was sent before. */
  readonly brokerUntil: string
  readonly removed: readonly Removed[]
  readonly receivedAt: string
}

/** One erasure of one key, with the receipts of its holders. */
export interface ErasureRecord {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly kind: 'entity' | 'event'
  readonly version: number
  readonly author: string | null
  readonly reason: string | null
  readonly erasedAt: string
  /** When the holders were told; null until everything older was sent. */
  readonly announcedAt: string | null
  /** Until when the broker may keep what was sent before; null until it was announced. */
  readonly brokerUntil: string | null
  /** At the owner. */
  readonly removed: OwnRemoved
  readonly receipts: readonly ErasureReceipt[]
  /** Teams that are known to read it, and have not answered yet. */
  readonly missing: readonly string[]
}

export interface ErasureRegister {
  readonly team: string
  readonly holders: readonly HolderRecord[]
  /** The newest first. */
  readonly erasures: readonly ErasureRecord[]
}

const HOLDERS = `
  select team, subscription, topic, kind, fields::text as fields, audience, ${isoTime('heard_at')} as "heardAt", ${isoTime('gone_at')} as "goneAt"
  from comity.holders where $1::text is null or topic = $1::text order by topic, team, subscription`
const ERASURES = `
  select e.id::text as id, e.topic, e.key, e.kind, e.version::text as version, o.author, o.reason, ${isoTime('e.erased_at')} as "erasedAt",
    ${isoTime('e.announced_at')} as "announcedAt", ${isoTime('e.broker_until')} as "brokerUntil", e.removed::text as removed,
    (select coalesce(json_agg(json_build_object('team', r.team, 'erasedAt', ${isoTime('r.erased_at')}, 'brokerUntil', ${isoTime('r.broker_until')},
        'removed', r.removed, 'receivedAt', ${isoTime('r.received_at')}) order by r.team), '[]')
      from comity.erasure_receipts r where r.erasure = e.id)::text as receipts,
    (select coalesce(json_agg(distinct h.team), '[]') from comity.holders h
      where h.topic = e.topic and h.gone_at is null
        and not exists (select from comity.erasure_receipts r where r.erasure = e.id and r.team = h.team))::text as missing
  from comity.erasures e left join comity.operations o on o.id = e.id
  where ($1::text is null or e.topic = $1::text) and ($2::text is null or e.key = $2::text) and ($3::text is null or e.id = $3::text::uuid)
  order by e.version desc`

type HolderRow = Omit<HolderRecord, 'fields'> & { readonly fields: string }
type ErasureRow = Omit<ErasureRecord, 'version' | 'removed' | 'receipts' | 'missing'> & {
  readonly [Name in 'version' | 'removed' | 'receipts' | 'missing']: string
}

export async function holdersOf(database: Queryable, topic?: string): Promise<readonly HolderRecord[]> {
  const { rows } = await database.query<HolderRow>(HOLDERS, [topic ?? null])
  return rows.map(({ fields, ...row }) => ({ ...row, fields: JSON.parse(fields) }))
}

/** Who holds which fields of what this team publishes, and what was erased of it, with the receipts. */
export async function erasureRegister(
  { database, team }: Pick<Environment, 'database' | 'team'>,
  { topic, key, id }: { readonly topic?: string; readonly key?: string; readonly id?: string } = {},
): Promise<ErasureRegister> {
  const { rows } = await database.query<ErasureRow>(ERASURES, [topic ?? null, key ?? null, id ?? null])
  return {
    team,
    holders: await holdersOf(database, topic),
    erasures: rows.map(({ version, removed, receipts, missing, ...row }) => ({
      ...row,
      version: Number(version),
      removed: JSON.parse(removed),
      receipts: JSON.parse(receipts),
      missing: JSON.parse(missing),
    })),
  }
}
