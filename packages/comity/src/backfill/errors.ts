import { type ErrorType, errorType } from '@comity/contract'

export const BackfillRefused: ErrorType<'replica' | 'reason'> = errorType(
  'COMITY_BACKFILL_REFUSED',
  'the backfill of {replica} was refused: {reason}',
  'declare what the owner publishes and grants, or ask the owner; then "comity backfill start"',
)
