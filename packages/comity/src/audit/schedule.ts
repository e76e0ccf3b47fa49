import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'

/** How often every copy is compared by itself, in milliseconds; undefined = never. */
export interface AuditSchedule {
  readonly full: number | undefined
  readonly keys: number | undefined
}
export const AUDIT_SCHEDULE: AuditSchedule = { full: 86_400_000, keys: 3_600_000 }

/*
 * A copy's turns come at the same distance from each other; the first of them between a quarter and the whole of it after the copy was made, by its
 * name, so that the copies of a team, and of an owner, do not all come at once. What an operator asked for counts as a turn; a full one also as one
 * of the keys.
 */
const DUE = `
  insert into comity.audits (replica, extent, cause, author, reason)
  select r.name, $2::text, 'schedule', 'comity', $4::text from comity.replicas r
  where r.name = any ($1::text::text[]) and not exists (select from comity.audits a where a.replica = r.name and a.state <> 'ended')
    and not exists (select from comity.asked_backfills b where b.replica = r.name and b.state in ('asking', 'filling', 'settling'))
    and clock_timestamp() >= coalesce(
      (select max(a.asked_at) from comity.audits a where a.replica = r.name and (a.extent = $2::text or a.extent = 'full')) + $3::text::interval,
      r.created_at + $3::text::interval * (0.25 + 0.75 * (hashtext(r.name) & 1023) / 1024))`

/*
 * What can have made a copy untrue, since it was last compared for that reason: another life of this database (it was restored: what it had
 * applied is gone, and so are deliveries that it had acknowledged), another broker, an act over many lines. The cause is known: what has drifted is
 * repaired at once, and named all the same.
 */
const SUSPECTED = `
  with causes as (
    select 'incarnation' as cause, null as replica, max(i.noticed_at) as at, 'this database has begun another life' as reason
      from comity.incarnations i having count(distinct i.identity) > 1
    union all select 'transport', null, max(m.switched_at), 'it is read at another broker' from comity.transport_moves m where m.subscription <> ''
    union all select 'retry', j.selection::jsonb ->> 'subscription', max(j.ended_at), 'an act over many lines has ended'
      from comity.jobs j where j.ended_at is not null and j.done >= 100 group by j.selection::jsonb ->> 'subscription'
  )
  insert into comity.audits (replica, repair, cause, author, reason)
  select r.name, true, c.cause, 'comity', c.reason from comity.replicas r join causes c on c.replica is null or c.replica = r.name
  where r.name = any ($1::text::text[]) and c.at > r.created_at
    and not exists (select from comity.audits a where a.replica = r.name and a.cause = c.cause and a.asked_at >= c.at)`

/* What was true is told by the next one that is; what was not is kept for longer. */
const PRUNE = `
  delete from comity.audits where state = 'ended'
    and ended_at < clock_timestamp() - case verdict when 'true' then interval '7 days' else interval '90 days' end`

/** Asks for the audits of these copies that are due. */
export async function scheduleAudits(database: Queryable, replicas: readonly string[], { full, keys }: AuditSchedule): Promise<void> {
  const names = arrayLiteral(replicas)
  await database.query(SUSPECTED, [names])
  if (full !== undefined) await database.query(DUE, [names, 'full', `${full} milliseconds`, 'the turn of its fields'])
  if (keys !== undefined) await database.query(DUE, [names, 'keys', `${keys} milliseconds`, 'the turn of its keys'])
  await database.query(PRUNE)
}
