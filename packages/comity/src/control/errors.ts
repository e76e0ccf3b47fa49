import { type ErrorType, errorType } from '@comity/contract'

export const CloneOfLiveDatabase: ErrorType<'team' | 'holder' | 'seconds'> = errorType(
  'COMITY_CLONE_OF_LIVE_DATABASE',
  'another life of the database of team {team} is alive ({holder}, heard {seconds} s ago); this one looks like a copy of it and sends nothing',
  'give a copy its own namespace ("comity migrate --namespace …" on an emptied schema); if this database replaces the other one, stop the other first',
)
