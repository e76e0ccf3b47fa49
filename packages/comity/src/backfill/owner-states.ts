import { type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { copyTopic } from '../control/copying-topics.ts'
import { BACKFILL_VERSION, OWNER_STATE, type OwnerState } from './contracts.ts'

/** Tells a copy what its owner does about a backfill. */
export async function tellState(speaker: CopyingSpeaker, replica: string, id: string, state: Omit<OwnerState, 'v' | 'id'>): Promise<void> {
  const data: OwnerState = { v: BACKFILL_VERSION, id, ...state }
  await sayAboutCopy(speaker, copyTopic(replica), [{ contract: OWNER_STATE, replica, data }])
}
