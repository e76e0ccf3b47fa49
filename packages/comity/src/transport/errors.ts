import { type ErrorType, errorType } from '@comity/contract'

export const TransportUnavailable: ErrorType<'transport' | 'reason'> = errorType(
  'COMITY_TRANSPORT_UNAVAILABLE',
  'the {transport} transport cannot be reached: {reason}',
  'nothing is lost: send again with the same ids; a receiver reconnects by itself. Check that the broker runs and that its URL is right',
)
export const TransportClosed: ErrorType<'transport'> = errorType(
  'COMITY_TRANSPORT_CLOSED',
  'the {transport} transport was closed',
  'open a new one; a closed transport does not open again',
)
export const TransportForbidden: ErrorType<'transport' | 'reason' | 'remedy'> = errorType(
  'COMITY_TRANSPORT_FORBIDDEN',
  'the {transport} transport refused: {reason}',
  '{remedy}',
)
export const TransportUnsupported: ErrorType<'transport' | 'reason' | 'remedy'> = errorType(
  'COMITY_TRANSPORT_UNSUPPORTED',
  'the {transport} transport cannot be used as it is: {reason}',
  '{remedy}',
)
export const TransportFailed: ErrorType<'transport' | 'reason'> = errorType(
  'COMITY_TRANSPORT_FAILED',
  'the {transport} transport failed: {reason}',
  'this is not a loss of connection, so repeating will not help: look at the cause and at the log of the broker',
)
export const TransportUrlUnknown: ErrorType<'url' | 'remedy'> = errorType(
  'COMITY_TRANSPORT_URL_UNKNOWN',
  'no transport is known for {url}',
  '{remedy}',
)
export const TransportNotInstalled: ErrorType<'scheme' | 'name'> = errorType(
  'COMITY_TRANSPORT_NOT_INSTALLED',
  'a URL that begins with {scheme}:// is opened by the package {name}, and that is not installed or opens none',
  'npm install {name}, or give a transport value from its own package; postgres:// is built in',
)
export const TopicUnknown: ErrorType<'topic'> = errorType(
  'COMITY_TOPIC_UNKNOWN',
  'the broker has no topic {topic}',
  'run `comity provision` as the operator',
)
export const SubscriptionUnknown: ErrorType<'subscription'> = errorType(
  'COMITY_SUBSCRIPTION_UNKNOWN',
  'the broker has no subscription {subscription}',
  'run `comity provision` as the operator',
)
export const ProvisionConflict: ErrorType<'conflict'> = errorType(
  'COMITY_PROVISION_CONFLICT',
  'the plan does not fit what exists: {conflict}',
  'choose another name, or remove what exists if nobody needs it; provisioning never changes what is there',
)
export const BatchTooLarge: ErrorType<'given' | 'limit'> = errorType(
  'COMITY_BATCH_TOO_LARGE',
  'one send was given {given}',
  'send at most {limit} at once (guarantees.limits)',
)
