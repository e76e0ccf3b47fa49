import { type ErrorType, errorType } from '@comity/contract'

export const RelayFenced: ErrorType<'team'> = errorType(
  'COMITY_RELAY_FENCED',
  'the broker has seen a newer relay of team {team}, and refuses this one',
  'nothing, if another process of the team took over; otherwise look for a copy of this database that runs under the same team and namespace',
)
export const CheckpointRefused: ErrorType<'term'> = errorType(
  'COMITY_CHECKPOINT_REFUSED',
  'a relay with a later term than {term} has written the checkpoint',
  'nothing: the relay that has the lease goes on from there',
)
