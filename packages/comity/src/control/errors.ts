import { type ErrorType, errorType } from '@comity/contract'

export const CloneOfLiveDatabase: ErrorType<'team' | 'holder' | 'seconds'> = errorType(
  'COMITY_CLONE_OF_LIVE_DATABASE',
  'another life of the database of team {team} is alive ({holder}, heard {seconds} s ago); this one looks like a copy of it and sends nothing',
  'give a copy a namespace of its own: set COMITY_NAMESPACE, and run "comity uninstall" and "comity migrate"; if this database replaces the other one, stop the other first',
)
export const SystemMessageUnreadable: ErrorType<'problem'> = errorType(
  'COMITY_SYSTEM_MESSAGE_UNREADABLE',
  'a message on a system topic can not be read: {problem}',
  'it is ignored; find out who sends it: on a system topic only Comity itself should',
)
export const CommandRefused: ErrorType<'source' | 'team' | 'operators'> = errorType(
  'COMITY_COMMAND_REFUSED',
  'a command from {source} was refused: team {team} obeys {operators}',
  "if it may command this team, name it in the option 'operators' of {team}, and provision",
)
export const CommandInvalid: ErrorType<'problem'> = errorType(
  'COMITY_COMMAND_INVALID',
  'the command is not one that this version understands: {problem}',
  'send it by team.command(…) of the same or an older version',
)
export const CommandUnanswered: ErrorType<'team' | 'kind' | 'command' | 'limit'> = errorType(
  'COMITY_COMMAND_UNANSWERED',
  'team {team} has not answered the command {kind} ({command}) within {limit}',
  'the command stays valid, and is carried out and answered when a process of {team} gets it; look whether the team is alive (team.teams()), and ask again with the same id to wait longer',
)
export const CommandNotSent: ErrorType<'team' | 'reason'> = errorType(
  'COMITY_COMMAND_NOT_SENT',
  'the broker did not take the command for {team}: {reason}',
  'make its arguments smaller',
)
export const NotOperated: ErrorType<'team' | 'other' | 'operates'> = errorType(
  'COMITY_NOT_OPERATED',
  '{team} does not operate {other}; it operates {operates}',
  "name it in the option 'operates' of {team}, and {team} in the option 'operators' of {other}; then provision both",
)
export const MoveUnfinished: ErrorType<'team' | 'from' | 'to' | 'here'> = errorType(
  'COMITY_MOVE_UNFINISHED',
  'team {team} is moving from {from} to {to}, and this process is given {here}',
  'give it the old one as its transport and the new one as COMITY_TRANSPORT_TO until "comity transport move --to <url> --finish" has said that the move is over',
)
export const MoveFinished: ErrorType<'team' | 'from' | 'to'> = errorType(
  'COMITY_MOVE_FINISHED',
  'team {team} has moved from {from} to {to}: nothing comes to the old one any more',
  'make {to} its transport, and take COMITY_TRANSPORT_TO away',
)
export const MoveGivenUp: ErrorType<'team' | 'from' | 'to'> = errorType(
  'COMITY_MOVE_GIVEN_UP',
  'the move of team {team} from {from} to {to} was given up, and this process still has both brokers',
  'start it again with the transport that its team stays with; with COMITY_TRANSPORT_TO it begins another move',
)
