import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import type { FindingClass } from './classify.ts'
import type { SettledKey } from './settle-suspects.ts'

/** An audit that is to be done, or that another process has left undone. */
export interface OpenAudit {
  readonly id: string
  readonly replica: string
  readonly extent: 'full' | 'keys'
  readonly repair: boolean
  readonly author: string
  readonly reason: string
}
export type Verdict = 'true' | 'drift' | 'inconclusive'

/* One at a time for each copy; an audit whose process has ended is begun anew: it has changed nothing. */
const OPEN = `
  select 1 from comity.audits where state <> 'ended' and replica = any ($1::text::text[]) and (held_until is null or held_until < clock_timestamp()) limit 1`
const TAKE = `
  update comity.audits a set holder = $1::text, held_until = clock_timestamp() + interval '30 seconds', state = 'comparing',
    began_at = coalesce(a.began_at, clock_timestamp())
  where a.id = (
    select o.id from comity.audits o where o.state <> 'ended' and o.replica = any ($2::text::text[])
      and (o.held_until is null or o.held_until < clock_timestamp())
      and not exists (select from comity.audits r where r.replica = o.replica and r.id <> o.id and r.state <> 'ended' and r.held_until > clock_timestamp())
    order by o.asked_at limit 1 for update skip locked)
  returning a.id::text as id, a.replica, a.extent, a.repair, a.author, a.reason`
/* Two processes that take two audits of one copy at the same moment would not see each other's. */
const IN_TURN = `select pg_advisory_xact_lock(hashtext('comity.audits'))::text`
const KEEP = `
  update comity.audits set held_until = clock_timestamp() + interval '30 seconds'
  where id = $1::text::uuid and holder = $2::text and state <> 'ended' returning id::text as id`
const RELEASE = `
  update comity.audits set held_until = null where id = $1::text::uuid and holder = $2::text and state <> 'ended'`
const STEP = `
  update comity.audits set state = $3::text, our_rows = coalesce($4::text::bigint, our_rows), their_rows = coalesce($5::text::bigint, their_rows),
    suspects = coalesce($6::int, suspects), truncated = coalesce($7::text::boolean, truncated)
  where id = $1::text::uuid and holder = $2::text and state <> 'ended'`
const FINDINGS = `
  insert into comity.audit_findings (audit, key, class, detail, version, owner_version, compared_at)
  select $1::text::uuid, f.key, f.class, f.detail, f.version, f.owner_version, f.at
  from json_to_recordset($2::text::json) f(key text, class text, detail text, version bigint, owner_version bigint, at bigint)
  on conflict (audit, key) do update set class = excluded.class, detail = excluded.detail, version = excluded.version,
    owner_version = excluded.owner_version, compared_at = excluded.compared_at, after = null`
const FORGET = 'delete from comity.audit_findings where audit = $1::text::uuid'
const AFTER = `
  update comity.audit_findings f set after = coalesce(a.class, 'true')
  from unnest($2::text::text[], $3::text::text[]) a(key, class) where f.audit = $1::text::uuid and f.key = a.key`
const BEGIN_REPAIR = `
  insert into comity.repairs (audit, replica, author, reason, keys) values ($1::text::uuid, $2::text, $3::text, $4::text, $5::int) returning id::text as id`
const END_REPAIR = `
  update comity.repairs set version = $2::text::bigint, clean = $3::int, ended_at = clock_timestamp() where id = $1::text::uuid`
const END = `
  update comity.audits set state = 'ended', verdict = $3::text, problem = $4::text, unsettled = $5::int, bytes = $6::text::bigint,
    ended_at = clock_timestamp(), held_until = null
  where id = $1::text::uuid and holder = $2::text and state <> 'ended'`

/** What an audit has found so far. */
export interface AuditStep {
  readonly ourRows?: number
  readonly theirRows?: number
  readonly suspects?: number
  readonly truncated?: boolean
}

/** The records of audits in the team's database, as one process writes them. */
export interface AuditRecords {
  take(replicas: readonly string[]): Promise<OpenAudit | undefined>
  /** Whether this process still is the one. */
  keep(id: string): Promise<boolean>
  /** Another process may go on at once. */
  release(id: string): Promise<void>
  step(id: string, state: 'comparing' | 'settling' | 'repairing', found?: AuditStep): Promise<void>
  found(id: string, findings: readonly SettledKey[]): Promise<void>
  beginRepair(audit: OpenAudit, keys: number): Promise<string>
  /** @param after what each key is now; absent = as its owner has it */
  endRepair(
    audit: string,
    repair: string,
    keys: readonly string[],
    after: ReadonlyMap<string, FindingClass>,
    version: number,
  ): Promise<void>
  end(id: string, verdict: Verdict, problem: string | undefined, unsettled: number, bytes: number): Promise<void>
}

export function auditRecords(database: Database, holder: string): AuditRecords {
  return {
    async take(replicas) {
      // Most looks find nothing to take.
      const { rows } = await database.query(OPEN, [arrayLiteral(replicas)])
      if (rows.length === 0) return undefined
      return database.transaction(async (tx) => {
        const sql: Queryable = database.join(tx)
        await sql.query(IN_TURN)
        return (await sql.query<OpenAudit>(TAKE, [holder, arrayLiteral(replicas)])).rows[0]
      })
    },
    async keep(id) {
      return (await database.query(KEEP, [id, holder])).rows.length > 0
    },
    async release(id) {
      await database.query(RELEASE, [id, holder])
    },
    async step(id, state, found = {}) {
      const { ourRows, theirRows, suspects, truncated } = found
      const text = (value: unknown): string | null => (value === undefined ? null : String(value))
      await database.query(STEP, [id, holder, state, text(ourRows), text(theirRows), suspects ?? null, text(truncated)])
    },
    async found(id, findings) {
      const rows = findings.map(({ ownerVersion, ...finding }) => ({ ...finding, owner_version: ownerVersion ?? null }))
      await database.transaction(async (tx) => {
        const sql: Queryable = database.join(tx)
        await sql.query(FORGET, [id])
        if (rows.length > 0) await sql.query(FINDINGS, [id, JSON.stringify(rows)])
      })
    },
    async beginRepair({ id, replica, author, reason }, keys) {
      const { rows } = await database.query<{ id: string }>(BEGIN_REPAIR, [id, replica, author, reason, keys])
      return rows[0]?.id as string
    },
    async endRepair(audit, repair, keys, after, version) {
      const classes = keys.map((key) => after.get(key) ?? null)
      await database.query(AFTER, [audit, arrayLiteral(keys), arrayLiteral(classes)])
      await database.query(END_REPAIR, [repair, String(version), classes.filter((one) => one === null).length])
    },
    async end(id, verdict, problem, unsettled, bytes) {
      await database.query(END, [id, holder, verdict, problem ?? null, unsettled, String(bytes)])
    },
  }
}
