import { type CopyingHandler, type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { copyTopic } from '../control/copying-topics.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { AUDIT_VERSION, AUDIT_WANTED, type AuditWanted } from './contracts.ts'

/* The copies that have asked for a backfill or an audit, and whatever has happened here since they were last told. */
const KNOW = `
  insert into comity.audit_copies (replica, told_at)
  select $1::text, coalesce((select min(b.asked_at) from comity.backfills b where b.replica = $1::text), '-infinity') on conflict do nothing`
const KNOW_FILLED = `
  insert into comity.audit_copies (replica, told_at) select b.replica, min(b.asked_at) from comity.backfills b group by b.replica on conflict do nothing`
const UNTOLD = `
  with events as (
    select 'incarnation' as cause, max(i.noticed_at) as at, 'its owner’s database has begun another life' as reason
      from comity.incarnations i having count(distinct i.identity) > 1
    union all select 'transport', max(o.done_at), 'its owner has filled the broker again' from comity.operations o
      where o.kind = 'rebuild-transport' and o.outcome is not null
    union all select 'gap', max(greatest(c.captured_at, c.released_at)), 'its owner did not announce everything for a while'
      from comity.captures c where c.unannounced_since is not null
  )
  select c.replica, e.cause, e.reason from comity.audit_copies c join events e on e.at > c.told_at order by c.replica, e.at`
const TOLD = 'update comity.audit_copies set told_at = clock_timestamp() where replica = any ($1::text::text[])'

/** A copy that has asked is told from then on. One that was never filled from here was known to a life whose end this database has forgotten. */
export async function knowCopy(database: Queryable, replica: string): Promise<void> {
  await database.query(KNOW, [replica])
}

/** The owner's side: tells the copies what can have made them untrue, so that they have themselves compared. */
export async function tellWanted(database: Queryable, speaker: CopyingSpeaker): Promise<void> {
  await database.query(KNOW_FILLED)
  const { rows } = await database.query<{ replica: string; cause: AuditWanted['cause']; reason: string }>(UNTOLD)
  for (const { replica, cause, reason } of rows) {
    const data: AuditWanted = { v: AUDIT_VERSION, cause, reason }
    await sayAboutCopy(speaker, copyTopic(replica), [{ contract: AUDIT_WANTED, replica, data }])
  }
  if (rows.length > 0) await database.query(TOLD, [arrayLiteral(rows.map(({ replica }) => replica))])
}

const ASK = `
  insert into comity.audits (replica, repair, cause, author, reason)
  select $1::text, true, $2::text, $3::text, $4::text
  where not exists (select from comity.audits a where a.replica = $1::text and a.cause = $2::text and a.state = 'asked')`

/** The copy's side: has itself compared, and repaired: the owner has said why it may have drifted. */
export function wantedHeard(database: Queryable, onHeard: () => void): CopyingHandler<AuditWanted> {
  return {
    contract: AUDIT_WANTED,
    async handle(messages) {
      for (const { from, replica, data } of messages) await database.query(ASK, [replica, data.cause, from, data.reason])
      onHeard()
      return messages.map(() => 'ack')
    },
  }
}
