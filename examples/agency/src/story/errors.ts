import { type ErrorType, errorType } from '@comity/contract'

export const UnknownArgument: ErrorType<'problem'> = errorType(
  'COMITY_EXAMPLE_ARGUMENT',
  '{problem}',
  'npm start -- [--once] [--json] [--customers 2000] [--transport nats|google-pubsub]; --once ends after the story, --json prints its figures as one line',
)
export const ProcessEnded: ErrorType<'team' | 'how' | 'said'> = errorType(
  'COMITY_EXAMPLE_PROCESS_ENDED',
  'the process of {team} ended unexpectedly ({how}){said}',
  'look at what it said last',
)
export const CommandFailed: ErrorType<'team' | 'command' | 'said'> = errorType(
  'COMITY_EXAMPLE_COMMAND_FAILED',
  '{team} could not {command}: {said}',
  'look at the service of {team}',
)
export const TooSlow: ErrorType<'what' | 'seconds' | 'state'> = errorType(
  'COMITY_EXAMPLE_TOO_SLOW',
  '{what}: nothing has moved for {seconds} s; the teams say: {state}',
  'run it again on a machine that is less busy; if that does not help, this is a fault of Comity: please report it',
)
export const Interrupted: ErrorType<'signal'> = errorType('COMITY_EXAMPLE_INTERRUPTED', 'the story was interrupted by {signal}', 'nothing')
