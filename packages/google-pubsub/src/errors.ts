import { type ErrorType, errorType } from '@comity/contract'

export const PubsubNameInvalid: ErrorType<'name' | 'problem'> = errorType(
  'COMITY_PUBSUB_NAME_INVALID',
  'Pub/Sub cannot have an object named {name}: {problem}',
  'choose a shorter name, or a shorter prefix or namespace: 255 characters are allowed, and a character other than A–Z a–z 0–9 - . _ ~ takes three for each of its bytes',
)
export const SubscriptionUnsafe: ErrorType<'subscription' | 'problem' | 'command'> = errorType(
  'COMITY_PUBSUB_SUBSCRIPTION_UNSAFE',
  'the Pub/Sub subscription {subscription} would break promises: {problem}',
  'run `comity provision` as the platform role, or: {command}',
)
