import { type ErrorType, errorType } from '@comity/contract'

export const NotAskedHere: ErrorType<'request' | 'team'> = errorType(
  'COMITY_NOT_ASKED_HERE',
  '{team} does not ask {request}',
  'declare it with .asks(…)',
)
export const NoSuchRequest: ErrorType<'team' | 'id'> = errorType(
  'COMITY_NO_SUCH_REQUEST',
  '{team} knows no request {id}',
  'pass the id that ask answered; before its transaction has committed, nobody sees it; what ended long ago is gone',
)
export const OutcomeOverdue: ErrorType<'id' | 'limit'> = errorType(
  'COMITY_OUTCOME_OVERDUE',
  'nothing was heard of the request {id} within {limit}',
  'the request stays valid, and its owner decides it once: ask again for its outcome, withdraw it, or give it a deadline',
)
export const ExpectationUnfit: ErrorType<'request' | 'problem'> = errorType(
  'COMITY_EXPECTATION_UNFIT',
  'what {request} expects can not be compared: {problem}',
  'name published fields of the entity with the values that you have seen, or expect your copy as it is: expect: "copy"',
)
export const ReasonUndeclared: ErrorType<'request' | 'reason' | 'reasons'> = errorType(
  'COMITY_REASON_UNDECLARED',
  '{request} is rejected with the reason {reason}, which its contract does not know',
  'reject with one of: {reasons}; or add the reason to `rejects` of the contract',
)
export const DetailUnfit: ErrorType<'request' | 'reason' | 'problem'> = errorType(
  'COMITY_DETAIL_UNFIT',
  'what is said with the rejection {reason} of {request} does not fit its contract: {problem}',
  'say what `rejects` of the contract describes',
)
