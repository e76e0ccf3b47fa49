import { type ErrorType, errorType } from '@comity/contract'

export const UnknownArgument: ErrorType<'problem'> = errorType(
  'COMITY_EXAMPLE_ARGUMENT',
  '{problem}',
  'npm start -- existing-database [--once] [--json] [--cities 135233]; --once ends when everything was compared, --json prints the figures as one line',
)
export const CommandFailed: ErrorType<'command' | 'how' | 'said'> = errorType(
  'COMITY_EXAMPLE_COMMAND_FAILED',
  '"comity {command}" ended with {how}: {said}',
  'look at what it said',
)
export const TooSlow: ErrorType<'what' | 'seconds' | 'state'> = errorType(
  'COMITY_EXAMPLE_TOO_SLOW',
  '{what} did not happen within {seconds} s; {state}',
  'run it again on a machine that is less busy; if that does not help, this is a fault of Comity: please report it',
)
export const Interrupted: ErrorType<'signal'> = errorType('COMITY_EXAMPLE_INTERRUPTED', 'interrupted by {signal}', 'nothing')
