import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'

/* What the last audit since the copy was filled says; rows that this team can't take are no reason to ask. */
const SAID = `
  select b.refused > 0 as refused, exists (select from comity.hand_overs h where h.topic = b.entity and h.owner = b.owner) as given, a.state, a.verdict, a.ended_at < clock_timestamp() - interval '30 seconds' as old,
    b.replica = any ($2::text::text[]) and a.verdict = 'inconclusive' and a.truncated and a.unsettled = 0 as some_true
  from comity.asked_backfills b left join lateral (
    select s.state, s.verdict, s.ended_at, s.truncated, s.unsettled from comity.audits s
    where s.replica = b.replica and s.cause = 'backfill' and s.asked_at >= coalesce(b.filled_at, b.asked_at) order by s.asked_at desc limit 1) a on true
  where b.id = $1::text::uuid`
const ASK = `
  insert into comity.audits (replica, repair, cause, author, reason)
  select b.replica, true, 'backfill', 'comity', 'it has been filled' from comity.asked_backfills b where b.id = $1::text::uuid`

/**
 * Whether a copy that was filled is as its owner has it: an audit is asked for, which also repairs; one that was not true is repeated half a
 * minute later. Where each row is lifted all of them differ from the owner's, and an audit looks at no more than 20,000 keys: then these speak
 * for the others.
 * @param lifting the copies that lift
 */
export async function confirmBackfill(
  database: Queryable,
  backfill: string,
  lifting: readonly string[],
  onAsked: () => void,
): Promise<boolean> {
  type Said = {
    refused: boolean
    given: boolean
    state: string | null
    verdict: string | null
    old: boolean | null
    some_true: boolean | null
  }
  const { rows } = await database.query<Said>(SAID, [backfill, arrayLiteral(lifting)])
  const { refused, given, state, verdict, old, some_true } = rows[0] ?? {
    refused: false,
    given: false,
    state: null,
    verdict: null,
    old: null,
    some_true: null,
  }
  // Who filled it has handed the entity over since, and answers nobody any more.
  if (refused || given || verdict === 'true' || some_true === true) return true
  if (state === null || (state === 'ended' && old === true)) {
    await database.query(ASK, [backfill])
    onAsked()
  }
  return false
}
