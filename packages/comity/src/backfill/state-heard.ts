import type { CopyingHandler } from '../control/copying-channel.ts'
import type { Queryable } from '../postgres/database.ts'
import { OWNER_STATE, type OwnerState } from './contracts.ts'

/* "Sent" counts only for who has applied the last part: a repeated one that comes too early is said again. */
const HEARD = `
  update comity.asked_backfills set owner_state = $3::text, reason = coalesce($4::text, reason), estimate = coalesce($5::text::bigint, estimate),
    state = case
      when state in ('asking', 'filling') and $3::text = 'sent' and version = $7::text::bigint and part = parts then 'settling'
      when state in ('asking', 'filling', 'settling') and $3::text = 'failed' then 'refused'
      when state in ('asking', 'filling', 'settling') and $3::text = 'cancelled' then 'cancelled'
      when state = 'asking' then 'filling'
      else state end,
    first_version = case when $3::text = 'sent' then $6::text::bigint else first_version end,
    last_version = case when $3::text = 'sent' then $7::text::bigint else last_version end,
    filled_at = case when $3::text = 'sent' and version = $7::text::bigint and part = parts then coalesce(filled_at, clock_timestamp()) else filled_at end,
    ended_at = case when $3::text in ('failed', 'cancelled') then coalesce(ended_at, clock_timestamp()) else ended_at end,
    asks = 0, ask_at = clock_timestamp() + interval '30 seconds'
  where id = $1::text::uuid and replica = $2::text`

/** What the owner says that it does, kept with what was asked. */
export function stateHeard(options: {
  readonly replica: string
  readonly database: Queryable
  readonly onHeard: () => void
}): CopyingHandler<OwnerState> {
  const { replica, database, onHeard } = options
  const text = (value: number | undefined): string | null => (value === undefined ? null : String(value))
  return {
    contract: OWNER_STATE,
    async handle(messages) {
      for (const { replica: about, data } of messages) {
        if (about !== replica) continue
        const { id, state, reason, estimate, first, last } = data
        await database.query(HEARD, [id, replica, state, reason ?? null, text(estimate), text(first), text(last)])
      }
      onHeard()
      return messages.map(() => 'ack')
    },
  }
}
