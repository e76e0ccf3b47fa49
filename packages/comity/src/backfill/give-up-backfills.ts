import { type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { copyingTopic } from '../control/copying-topics.ts'
import type { Queryable } from '../postgres/database.ts'
import { TopicUnknown } from '../transport/index.ts'
import { ASKED, type Asked, BACKFILL_VERSION } from './contracts.ts'

/* Locked: what asks for it is over, and nothing asks again. Also what was cancelled here, as long as its owner has not said so. */
const KNOWN_TO_OWNERS = `
  select a.id::text as id, a.owner, a.entity from comity.asked_backfills a
  where a.replica = $1::text and a.told is not null
    and (a.state in ('asking', 'filling', 'settling') or a.state = 'cancelled' and a.owner_state is distinct from 'cancelled')
  order by a.asked_at for update`

/**
 * Tells the owners that a copy wants nothing any more, before nobody is left who could. Resolves when the broker has it; an owner of which it
 * has no topic sends nothing. @param sql the transaction that removes the copy: it fails where this does, and is tried again
 */
export async function giveUpBackfills(sql: Queryable, speaker: CopyingSpeaker, replica: string): Promise<void> {
  const { rows } = await sql.query<{ id: string; owner: string; entity: string }>(KNOWN_TO_OWNERS, [replica])
  for (const { id, owner, entity } of rows) {
    const data: Asked = { v: BACKFILL_VERSION, id, entity, fields: [], want: 'cancel' }
    try {
      await sayAboutCopy(speaker, copyingTopic(owner), [{ contract: ASKED, replica, data }])
    } catch (error) {
      if (!(error instanceof TopicUnknown)) throw error
    }
  }
}
