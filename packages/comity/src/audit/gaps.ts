import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import type { Transport } from '../transport/transport.ts'

const NAMES = `
  select name, broker_name as "brokerName" from comity.subscriptions where name = any ($1::text::text[])`
/* Fewer than before: the subscription went back, or is another one at the broker. */
const NOTE = `
  with seen as (select * from unnest($1::text::text[], $2::text::bigint[]) s(replica, expired)),
    grown as (select s.* from seen s left join comity.audit_gaps g on g.replica = s.replica where s.expired > coalesce(g.expired, 0)),
    noted as (
      insert into comity.audit_gaps as g (replica, expired) select replica, expired from seen where expired > 0
      on conflict (replica) do update set expired = excluded.expired where g.expired <> excluded.expired)
  insert into comity.audits (replica, repair, cause, author, reason)
  select g.replica, true, 'gap', 'comity', 'the broker has removed ' || g.expired || ' messages that had not been received' from grown g
  where not exists (select from comity.audits a where a.replica = g.replica and a.cause = 'gap' and a.state = 'asked')`

/** Has the copies compared of which the broker has removed messages before they were received: what was in these, no message will say. */
export async function noteGaps(
  database: Queryable,
  transport: Transport,
  replicas: readonly string[],
  brokerNamed: (name: string) => string,
): Promise<void> {
  if (transport.stats === undefined) return
  const { rows } = await database.query<{ name: string; brokerName: string | null }>(NAMES, [arrayLiteral(replicas)])
  const named = new Map(rows.map(({ name, brokerName }) => [brokerName ?? brokerNamed(name), name]))
  const expired = (await transport.stats([...named.keys()])).flatMap(({ subscription, expired: n }) => {
    const name = named.get(subscription)
    return name === undefined || n === undefined ? [] : [[name, n] as const]
  })
  if (expired.length === 0) return
  await database.query(NOTE, [arrayLiteral(expired.map(([name]) => name)), arrayLiteral(expired.map(([, n]) => String(n)))])
}
