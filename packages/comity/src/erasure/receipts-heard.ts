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
      }
      return messages.map(() => 'ack')
    },
  }
}
