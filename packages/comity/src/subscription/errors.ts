import { ComityError, type ErrorType, errorType } from '@comity/contract'

/** Thrown by a handler: this message will never succeed as it is; its key is parked at once, without retries. */
export class PermanentError extends ComityError {
  static readonly code = 'COMITY_PERMANENT'
  static readonly causeTemplate = '{message}'
  static readonly remedyTemplate = 'look at the message and at its handler, then retry or discard its line'
  readonly code = 'COMITY_PERMANENT'
  constructor(message: string, details: { readonly cause?: unknown } = {}) {
    super(message, PermanentError.remedyTemplate, details)
    this.name = 'PermanentError'
  }
}

/** What a message waits for: that this team's copy of `topic` has `key`, in this version or a later one. A token is one. */
export interface Wanted {
  readonly topic: string
  readonly key: string
  readonly version?: number
}

/**
 * Thrown by a handler: what this message needs has not arrived; its key waits and is tried again until it has. With `until` it is
 * tried when a copy of this team has that; without, every now and then.
 */
export class NotYetError extends ComityError {
  static readonly code = 'COMITY_NOT_YET'
  static readonly causeTemplate = '{message}'
  static readonly remedyTemplate = 'nothing: the message waits and is tried again; if it waits for long, look at the replica it needs'
  readonly code = 'COMITY_NOT_YET'
  readonly until: Wanted | undefined
  constructor(message: string, details: { readonly cause?: unknown; readonly until?: Wanted } = {}) {
    super(message, NotYetError.remedyTemplate, details)
    this.name = 'NotYetError'
    this.until = details.until
  }
}

export const UnreadableMessage: ErrorType<'problem'> = errorType(
  'COMITY_UNREADABLE_MESSAGE',
  'the message can not be read: {problem}',
  'ask the publishing team; the message is parked with its bytes',
)
export const ForgedMessage: ErrorType<'source' | 'type'> = errorType(
  'COMITY_FORGED_MESSAGE',
  '{source} published {type}, which it does not own',
  "look at the broker's rights: only the owner's relay may publish to this topic; if it was handed over while this database was away, deploy the contract of its new owner: the line then goes on by itself",
)
export const InvalidMessage: ErrorType<'problem'> = errorType(
  'COMITY_INVALID_MESSAGE',
  'the data does not fit the contract this team knows: {problem}',
  'deploy the contract that the owner publishes, or a lift of what it published before: the line then goes on by itself',
)
export const LiftFailed: ErrorType<'contract' | 'reason'> = errorType(
  'COMITY_LIFT_FAILED',
  'the lift of an older version of {contract} threw {reason}',
  'correct the function that was given to "lifts", and deploy it: the line then goes on by itself',
)
export const LiftedInvalid: ErrorType<'contract' | 'problem'> = errorType(
  'COMITY_LIFTED_INVALID',
  'what was lifted from an older version of {contract} does not fit the newer one: {problem}',
  'correct the function that was given to "lifts", and deploy it: the line then goes on by itself',
)
export const TooOldToProve: ErrorType<'time' | 'floor'> = errorType(
  'COMITY_TOO_OLD_TO_PROVE',
  'the message is of {time}, and the inbox can only vouch for what is between {floor} and a week from now',
  'look whether its effect happened; then discard or retry it',
)
export const HandlerTimeout: ErrorType<'subscription' | 'limit'> = errorType(
  'COMITY_HANDLER_TIMEOUT',
  'a handler of {subscription} ran longer than {limit}',
  'make it shorter, or raise the time limit of the subscription below the lease',
)
export const HandlerLostConnection: ErrorType<'reason'> = errorType(
  'COMITY_HANDLER_LOST_CONNECTION',
  'a connection of the handler was lost, not that of its transaction: {reason}',
  'nothing if it comes back: the message is tried again; else look at what the handler connects to',
)
export const NotRegistered: ErrorType<'subscription'> = errorType(
  'COMITY_SUBSCRIPTION_NOT_REGISTERED',
  'the database does not know the subscription {subscription}',
  'run "comity migrate"',
)
export const LagUnknown: ErrorType<'transport'> = errorType(
  'COMITY_LAG_UNKNOWN',
  'the {transport} transport does not tell how many messages are left, so nobody knows when a subscription has caught up',
  'wait for what you expect to see in the database instead',
)
/** Internal: a batch met a message whose tenant was paused after it had begun; it is repeated without. */
export const PausedMeanwhile: ErrorType<'subscription'> = errorType(
  'COMITY_PAUSED_MEANWHILE',
  'a tenant of {subscription} was paused while its messages were under way',
  'nothing: they wait in their lines until it is resumed',
)
/** Internal: where several processes are given the same bucket, one may wait for another's handler. Repeated as it is. */
export const LaneTaken: ErrorType<'subscription' | 'lane'> = errorType(
  'COMITY_LANE_TAKEN',
  'lane {lane} of {subscription} was at work in another process for longer than a statement may wait',
  'nothing: it is tried again, and that is no attempt of the message; handlers that take long take long here too',
)
export const LinePaused: ErrorType<'subscription' | 'key' | 'reason'> = errorType(
  'COMITY_LINE_PAUSED',
  'the line of key {key} in {subscription} does not run: {reason}',
  'run "comity resume" first',
)
export const NotTheHead: ErrorType<'subscription' | 'key' | 'message'> = errorType(
  'COMITY_NOT_THE_HEAD',
  'message {message} is not the head of the line of key {key} in {subscription}',
  'look again with "comity dead-letters show": somebody may have been faster',
)
export const NothingWaits: ErrorType<'subscription' | 'key'> = errorType(
  'COMITY_NOTHING_WAITS',
  'no message of key {key} waits in {subscription}',
  'list what waits with "comity status"',
)
