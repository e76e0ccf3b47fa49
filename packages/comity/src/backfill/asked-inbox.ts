import type { CopyingHandler, CopyingSpeaker, Heard } from '../control/copying-channel.ts'
import { type Logger, logEvent, silentLogger } from '../foundation/index.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import type { DeliveryResult } from '../transport/transport.ts'
import { ASKED, type Asked, type OwnerState } from './contracts.ts'
import { BackfillRefused } from './errors.ts'
import { tellState } from './owner-states.ts'
import { publishedEntity } from './published-entity.ts'

/* The same request again is no other job. A new one takes the place of an open one of that copy. */
const TAKE = `
  with taken as (
    insert into comity.backfills (id, asked_by, replica, entity, audience, fields, rate, subset, state, estimate)
    values ($1::text::uuid, $2::text, $3::text, $4::text, $5::text, $6::text::jsonb, $7::text::double precision, $8::text::jsonb, 'waiting',
      comity.backfill_estimate($4::text))
    on conflict (id) do nothing returning id
  )
  update comity.backfills b set state = 'cancelled', error = 'asked again', ended_at = clock_timestamp()
  from taken t where b.replica = $3::text and b.id <> t.id and b.state in ('waiting', 'running', 'paused', 'sent')`
const PAUSE = `
  update comity.backfills set state = 'paused', paused_by = 'asker' where id = $1::text::uuid and replica = $2::text and state in ('waiting', 'running')`
const RUN = `
  update comity.backfills set state = 'waiting', paused_by = null
  where id = $1::text::uuid and replica = $2::text and state = 'paused' and paused_by = 'asker'`
/* Also of one that was not heard of yet: what asked for it may be on its way still. */
const CANCEL = `
  insert into comity.backfills as b (id, asked_by, replica, entity, fields, state, error, ended_at)
  values ($1::text::uuid, $3::text, $2::text, $4::text, '[]', 'cancelled', 'by who asked', clock_timestamp())
  on conflict (id) do update set state = 'cancelled', error = 'by who asked', ended_at = clock_timestamp()
  where b.replica = $2::text and b.state in ('waiting', 'running', 'paused', 'sent')`
const STATE = `
  select state, error, estimate::text as estimate, first_version::text as first, last_version::text as last
  from comity.backfills where id = $1::text::uuid and replica = $2::text`

/** What other teams ask of this one: recorded, and answered with what is done about it. */
export function askedInbox(options: {
  readonly database: Database
  readonly speaker: CopyingSpeaker
  /** Something is to be done. */
  readonly onAsked: () => void
  readonly logger?: Logger
}): CopyingHandler<Asked> {
  const { database, speaker, onAsked, logger = silentLogger } = options

  /** Who can't be told asks again; it stops nobody else. */
  async function tell(replica: string, id: string, state: Omit<OwnerState, 'v' | 'id'>): Promise<void> {
    await tellState(speaker, replica, id, state).catch((error: unknown) =>
      logEvent(logger, 'comity.control.not_sent', { kind: 'backfill', error }),
    )
  }

  async function take({ from, replica, data }: Heard<Asked>): Promise<void> {
    let { fields, subset } = data
    try {
      // What is given up needs no leave: who gives it up may have lost it, or no longer know what of it was asked.
      if (data.want !== 'cancel') ({ said: fields, subset } = await publishedEntity(database, { from, replica, ...data }))
    } catch (error) {
      if (!(error instanceof BackfillRefused)) throw error
      logEvent(logger, 'comity.backfill.refused', { sender: from, subscription: replica, error })
      await tell(replica, data.id, { state: 'failed', reason: error.message.split('\n', 1)[0] as string })
      return
    }
    const own = [data.id, replica]
    await database.transaction(async (tx) => {
      const sql: Queryable = database.join(tx)
      if (data.want !== 'cancel')
        await sql.query(TAKE, [
          ...[data.id, from, replica, data.entity, data.audience ?? null],
          ...[JSON.stringify(fields), data.rate === undefined ? null : String(data.rate)],
          subset === undefined ? null : JSON.stringify(subset),
        ])
      if (data.want === 'cancel') await sql.query(CANCEL, [...own, from, data.entity])
      else await sql.query(data.want === 'run' ? RUN : PAUSE, own)
    })
    const { rows } = await database.query<{ state: string; error: string | null; estimate: string; first: string; last: string }>(
      STATE,
      own,
    )
    const row = rows[0]
    // Of another copy.
    if (row === undefined) return tell(replica, data.id, { state: 'cancelled' })
    onAsked()
    return tell(replica, data.id, {
      state: told(row.state),
      estimate: Number(row.estimate),
      ...(row.error === null ? {} : { reason: row.error }),
      ...(told(row.state) === 'sent' ? { first: Number(row.first), last: Number(row.last) } : {}),
    })
  }

  return {
    contract: ASKED,
    async handle(messages) {
      const results: DeliveryResult[] = []
      for (const message of messages) {
        await take(message)
        results.push('ack')
      }
      return results
    },
  }
}

function told(state: string): OwnerState['state'] {
  if (state === 'waiting') return 'running'
  return state === 'done' ? 'sent' : (state as OwnerState['state'])
}
