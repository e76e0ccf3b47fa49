import type { Environment } from '../../catalog/environment.ts'
import { AuditUnknown } from '../errors.ts'
import { requireInstalled } from '../installation.ts'
import { isoTime } from './iso-time.ts'
import { cursorOf, limitOf, type Page, type PageOptions, pageOf } from './page.ts'

/** One comparison of a copy with its owner. Times are ISO 8601. */
export interface Audit {
  readonly id: string
  readonly replica: string
  /** `keys`: only which rows there are was compared. */
  readonly extent: 'full' | 'keys'
  readonly repair: boolean
  readonly cause: string
  readonly author: string
  readonly reason: string
  readonly state: 'asked' | 'comparing' | 'settling' | 'repairing' | 'ended'
  /** Null until it has ended. Of a repair: what the copy is now. */
  readonly verdict: 'true' | 'drift' | 'inconclusive' | null
  /** Why it is inconclusive, or not all. */
  readonly problem: string | null
  readonly ourRows: number | null
  readonly theirRows: number | null
  /** Keys that were not alike when both sides looked; most of them had just been written. */
  readonly suspects: number | null
  /** How many keys are named, by their class. */
  readonly classes: Readonly<Record<string, number>>
  /** How many keys were said anew, and how many of them are as their owner has them now; null = nothing was repaired. */
  readonly repaired: { readonly keys: number; readonly clean: number | null; readonly at: string } | null
  /** Exchanged with the owner. */
  readonly bytes: number
  readonly askedAt: string
  readonly beganAt: string | null
  readonly endedAt: string | null
}

/** A key that is not as its owner has it; never its values. */
export interface AuditFinding {
  readonly key: string
  readonly class: 'missing' | 'extra' | 'stale' | 'ahead' | 'different' | 'withheld' | 'waiting' | 'moving'
  readonly detail: string | null
  /** Of the copy's row or tombstone, and of the owner's last change where that is known; 0 or null = none. */
  readonly version: number
  readonly ownerVersion: number | null
  /** What it was after its repair; `true` = as its owner has it; null = it was not repaired. */
  readonly after: string | null
}

const COLUMNS = `
  a.id::text as id, a.replica, a.extent, a.repair, a.cause, a.author, a.reason, a.state, a.verdict, a.problem, a.our_rows::float8 as "ourRows",
  a.their_rows::float8 as "theirRows", a.suspects, a.bytes::float8 as bytes,
  (select coalesce(json_object_agg(c.class, c.n), '{}')::text from (
    select f.class, count(*) as n from comity.audit_findings f where f.audit = a.id group by f.class order by f.class) c) as classes,
  (select json_build_object('keys', r.keys, 'clean', r.clean, 'at', ${isoTime('r.began_at')})::text
    from comity.repairs r where r.audit = a.id order by r.began_at desc limit 1) as repaired,
  ${isoTime('a.asked_at')} as "askedAt", ${isoTime('a.began_at')} as "beganAt", ${isoTime('a.ended_at')} as "endedAt"`

type Row = Omit<Audit, 'classes' | 'repaired'> & { readonly classes: string; readonly repaired: string | null }

function read({ classes, repaired, ...row }: Row): Audit {
  return { ...row, classes: JSON.parse(classes), repaired: repaired === null ? null : JSON.parse(repaired) }
}

/** The newest first. */
export async function listAudits(
  environment: Environment,
  { replica, limit = 100 }: { readonly replica?: string | undefined; readonly limit?: number } = {},
): Promise<readonly Audit[]> {
  await requireInstalled(environment)
  const { rows } = await environment.database.query<Row>(
    `select ${COLUMNS} from comity.audits a where $1::text is null or a.replica = $1::text order by a.asked_at desc, a.id limit $2::int`,
    [replica ?? null, limit],
  )
  return rows.map(read)
}

/** Throws COMITY_AUDIT_UNKNOWN. */
export async function auditOf(environment: Environment, id: string): Promise<Audit> {
  await requireInstalled(environment)
  const { rows } = await environment.database.query<Row>(`select ${COLUMNS} from comity.audits a where a.id::text = $1::text`, [id])
  if (rows[0] === undefined) throw new AuditUnknown({ audit: id })
  return read(rows[0])
}

/** The keys that an audit names, by key. */
export async function auditFindings(environment: Environment, id: string, asked: PageOptions = {}): Promise<Page<AuditFinding>> {
  const limit = limitOf(asked)
  const after = cursorOf(asked, 1)
  const { rows } = await environment.database.query<AuditFinding>(
    `select f.key, f.class, f.detail, coalesce(f.version, 0)::float8 as version, f.owner_version::float8 as "ownerVersion", f.after
     from comity.audit_findings f where f.audit::text = $1::text and ($2::text is null or f.key collate "C" > $2::text) order by f.key collate "C" limit $3::int`,
    [id, after?.[0] ?? null, limit + 1],
  )
  return pageOf(
    rows,
    limit,
    ({ key }) => [key],
    (row) => row,
  )
}
