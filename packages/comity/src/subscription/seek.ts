import type { Database } from '../postgres/database.ts'
import type { SeekTarget, Transport } from '../transport/transport.ts'

const PENDING = 'select seek from comity.subscriptions where name = $1::text for update'
const SOUGHT = 'update comity.subscriptions set seek = null where name = $1::text'

/**
 * Moves the broker's position of a subscription to where its row says, and lets it go on. While the row names a place nothing is
 * consumed, so a crash in between is no harm: whoever comes next does it again. The row is locked meanwhile: one at a time.
 */
export async function finishSeek<Tx>(database: Database<Tx>, transport: Transport, name: string, brokerName: string): Promise<void> {
  await database.transaction(async (tx) => {
    const sql = database.join(tx)
    const { rows } = await sql.query<{ seek: string | null }>(PENDING, [name])
    const place = rows[0]?.seek
    if (place === null || place === undefined) return
    await transport.seek?.(brokerName, targetOf(place))
    await sql.query(SOUGHT, [name])
  })
}

function targetOf(place: string): SeekTarget {
  return place === 'beginning' || place === 'end' ? place : { time: new Date(place) }
}
