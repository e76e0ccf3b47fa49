import { type ErrorType, errorType } from '@comity/contract'

export const AuditUnanswered: ErrorType<'owner' | 'replica' | 'limit'> = errorType(
  'COMITY_AUDIT_UNANSWERED',
  '{owner} has not answered the audit of {replica} within {limit}',
  'see that {owner} runs, and with a version that answers audits; then "comity audit {replica}" again',
)
export const AuditRefused: ErrorType<'owner' | 'replica' | 'reason'> = errorType(
  'COMITY_AUDIT_REFUSED',
  '{owner} does not answer the audit of {replica}: {reason}',
  'declare what the owner publishes and grants, or ask the owner',
)
export const AuditNotPassed: ErrorType<'replica' | 'version' | 'limit'> = errorType(
  'COMITY_AUDIT_NOT_PASSED',
  '{replica} has not come as far as version {version} within {limit}',
  'see why it is behind with "comity subscriptions", and audit it again when it has caught up',
)
export const AuditTakenOver: ErrorType<'replica'> = errorType(
  'COMITY_AUDIT_TAKEN_OVER',
  'another process goes on with the audit of {replica}',
  'nothing: look at it with "comity audit status"',
)
