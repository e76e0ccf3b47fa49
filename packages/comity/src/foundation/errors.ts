import { type ErrorType, errorType } from '@comity/contract'

export const UnknownOption: ErrorType<'option' | 'hint'> = errorType('COMITY_UNKNOWN_OPTION', 'there is no option "{option}"', '{hint}')
export const BadDuration: ErrorType<'option' | 'value'> = errorType(
  'COMITY_BAD_DURATION',
  '{option} = {value} is not a duration',
  "write a number with its unit, e.g. '250ms', '5s', '10m', '1h' or '7d'",
)
export const BadOption: ErrorType<'option' | 'expected'> = errorType(
  'COMITY_BAD_OPTION',
  'the option "{option}" does not fit',
  'give {expected}',
)
export const Stopped: ErrorType<'service'> = errorType(
  'COMITY_STOPPED',
  '{service} was stopped',
  'start a new one; a stopped service does not start again',
)
