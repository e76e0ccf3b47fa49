import { type ErrorType, errorType } from '@comity/contract'

export const CloneOfLiveDatabase: ErrorType<'team' | 'holder' | 'seconds'> = errorType(
  'COMITY_CLONE_OF_LIVE_DATABASE',
  'another life of the database of team {team} is alive ({holder}, heard {seconds} s ago); this one looks like a copy of it and sends nothing',
  'give a copy a namespace of its own: set COMITY_NAMESPACE, and run "comity uninstall" and "comity migrate"; if this database replaces the other one, stop the other first',
)
