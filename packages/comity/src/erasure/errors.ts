import { type ErrorType, errorType } from '@comity/contract'

export const ErasureNotOwned: ErrorType<'topic' | 'team' | 'topics'> = errorType(
  'COMITY_ERASURE_NOT_OWNED',
  'team {team} does not publish {topic}; it publishes {topics}',
  'erase at the owner, who tells everybody else: name its team with --team, or its configuration with --config',
)
export const ErasureWaits: ErrorType<'holders'> = errorType(
  'COMITY_ERASURE_WAITS',
  'transactions that were open when the erasure began have not ended: {holders}; nothing was erased',
  'end them, or wait until they have, and erase again',
)
export const ErasureStateThere: ErrorType<'topic' | 'source'> = errorType(
  'COMITY_ERASURE_STATE_THERE',
  'the state of {topic} with this key still exists at its owner, {source}: nothing was erased',
  'remove it as your application does, and erase then; or say --delete, and Comity deletes this one row in the same transaction',
)
