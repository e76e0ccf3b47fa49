import type { CopyingHandler } from '../control/copying-channel.ts'
import type { Queryable } from '../postgres/database.ts'
import type { AppliedKeys } from '../replica/replica.ts'
import { OUTCOME, type OutcomeSaid } from './contracts.ts'

/*
 * The first that was decided stays. An owner whose database went back in time may decide again what it does not remember: then its later decision is
 * the one that its data has. A request that is not remembered here (this database went back) is known by its outcome.
 */
const KEEP = `
  insert into comity.asked as a (id, topic, entity, owner, key, asked_at, outcome, reason, detail, owner_version, decided_at, heard_at)
  select s.id, s.request, s.entity, $1::text, s.key, null, s.outcome, s.reason, s.detail::text, s.version, s."decidedAt"::timestamptz, clock_timestamp()
  from json_to_recordset($2::text::json) s(id text, request text, entity text, key text, outcome text, reason text, detail json, version bigint, "decidedAt" text)
    join comity.asks c on c.topic = s.request and c.owner = $1::text
  on conflict (id) do update set outcome = excluded.outcome, reason = excluded.reason, detail = excluded.detail, owner_version = excluded.owner_version,
    decided_at = excluded.decided_at, heard_at = excluded.heard_at, visible_at = null, handled_at = null, attempts = 0, retry_at = null, problem = null
  where a.owner = $1::text and a.topic = excluded.topic and (a.outcome is null or a.decided_at < excluded.decided_at)`
const ANSWERED = `
  update comity.asks set answered_at = clock_timestamp() where owner = $1::text and topic = any ($2::text::text[]) and answered_at is null`

/** Keeps what one owner has decided. */
export function outcomesHeard(options: {
  readonly owner: string
  readonly database: Queryable
  readonly heard: AppliedKeys
  readonly onHeard: () => void
}): CopyingHandler<OutcomeSaid> {
  const { owner, database, heard, onHeard } = options
  return {
    contract: OUTCOME,
    async handle(messages) {
      // Of one request said twice the last is the newer.
      const said = new Map(messages.map(({ data }) => [data.id, data]))
      await database.query(KEEP, [owner, JSON.stringify([...said.values()])])
      const topics = [...new Set([...said.values()].map(({ request }) => request))]
      await database.query(ANSWERED, [owner, `{${topics.map((topic) => JSON.stringify(topic)).join(',')}}`])
      heard.announce([...said.keys()])
      onHeard()
      return messages.map(() => 'ack')
    },
  }
}
