import type { CopyingHandler } from '../control/copying-channel.ts'
import type { Queryable } from '../postgres/database.ts'
import { HOLDINGS, type Holdings, RECEIPT, type Receipt } from './contracts.ts'

/* Of an erasure of this team's; who answers twice, answered the first time. */
const KEEP = `
  insert into comity.erasure_receipts (erasure, team, removed, erased_at, broker_until)
  select e.id, $2::text, $3::text::jsonb, $4::text::timestamptz, $5::text::timestamptz from comity.erasures e where e.id = $1::text::uuid
  on conflict do nothing`
const HOLDING = `
  insert into comity.holders as h (subscription, team, topic, kind, fields, audience)
  select l.subscription, $1::text, l.topic, l.kind, l.fields, l.audience
  from json_to_recordset($2::text::json) l(subscription text, topic text, kind text, fields jsonb, audience text)
  where split_part(l.subscription, '.', 1) = $1::text and exists (select from comity.contracts c where c.topic = l.topic)
  on conflict (subscription) do update set topic = excluded.topic, kind = excluded.kind, fields = excluded.fields, audience = excluded.audience,
    heard_at = clock_timestamp(), gone_at = null`
const GONE = `
  update comity.holders set gone_at = clock_timestamp()
  where team = $1::text and gone_at is null and subscription not in (
    select l.subscription from json_to_recordset($2::text::json) l(subscription text))`

/*
 * A team that speaks from another life than before: what it was told after the last erasure that it knows, it is told again. All that was
 * said at that moment, too: it does not know an erasure twice.
 */
const LIFE = `
  with before as (
    select (select l.life from comity.holder_lives l where l.team = $1::text) as life
  ), now as (
    insert into comity.holder_lives as l (team, life) values ($1::text, $2::text)
    on conflict (team) do update set life = excluded.life, heard_at = clock_timestamp()
  )
  update comity.erasures e set again = true from before b
  where b.life <> $2::text and e.announced_at is not null
    and e.announced_at >= coalesce((select k.announced_at from comity.erasures k where k.id = $3::text::uuid), '-infinity')
    and e.topic in (select h.topic from comity.holders h where h.team = $1::text and h.gone_at is null)`

/** Keeps what holders say that they have removed. */
export function receiptsHeard(database: Queryable): CopyingHandler<Receipt> {
  return {
    contract: RECEIPT,
    async handle(messages) {
      for (const { from, data } of messages)
        await database.query(KEEP, [data.erasure, from, JSON.stringify(data.removed), data.at, data.brokerUntil])
      return messages.map(() => 'ack')
    },
  }
}

/** Keeps who reads what of this team. */
export function holdingsHeard(database: Queryable): CopyingHandler<Holdings> {
  return {
    contract: HOLDINGS,
    async handle(messages) {
      for (const { from, data } of messages) {
        const list = JSON.stringify(data.holdings)
        await database.query(HOLDING, [from, list])
        await database.query(GONE, [from, list])
        if (data.life !== undefined) await database.query(LIFE, [from, data.life, data.after ?? null])
      }
      return messages.map(() => 'ack')
    },
  }
}
