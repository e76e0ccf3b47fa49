import { type Logger, logEvent } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { SeekTarget, Transport } from '../transport/transport.ts'

const PENDING = 'select seek from comity.subscriptions where name = $1::text for update'
const SOUGHT = 'update comity.subscriptions set seek = null where name = $1::text'

/**
 * Moves the broker's position of a subscription to where its row says, and lets it go on. While the row names a place nothing is
 * consumed, so a crash in between is no harm: whoever comes next does it again. The row is locked meanwhile: one at a time.
 */
export async function finishSeek<Tx>(
  database: Database<Tx>,
  transport: Transport,
  { name, brokerName, logger }: { readonly name: string; readonly brokerName: string; readonly logger: Logger },
): Promise<void> {
  await database.transaction(async (tx) => {
    const sql = database.join(tx)
    const { rows } = await sql.query<{ seek: string | null }>(PENDING, [name])
    const place = rows[0]?.seek
    if (place === null || place === undefined) return
    if (!place.startsWith(BACK)) await transport.seek?.(brokerName, targetOf(place))
    else if (transport.seek === undefined) logEvent(logger, 'comity.subscription.not_sent_back', { subscription: name })
    else await transport.seek(brokerName, await backTo(new Date(place.slice(BACK.length)), transport, brokerName))
    await sql.query(SOUGHT, [name])
  })
}

/** What `comity.begin_life` writes before a time: back to it, and never forward. */
const BACK = 'back to '

/** Nothing is passed over that waits at the broker: it may be older. */
async function backTo(time: Date, transport: Transport, brokerName: string): Promise<SeekTarget> {
  const oldest = (await transport.stats?.([brokerName]))?.[0]?.oldestSentAt
  return { time: oldest !== undefined && oldest < time ? oldest : time }
}

function targetOf(place: string): SeekTarget {
  return place === 'beginning' || place === 'end' ? place : { time: new Date(place) }
}
