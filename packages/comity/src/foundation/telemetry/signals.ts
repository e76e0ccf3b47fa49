/**
 * Every span and every metric of Comity, as data: the instruments are made from this list, docs/telemetry.md is written from it, and the rules
 * and the dashboard of @comity/cli are compared with it.
 *
 * Names under `messaging.` and `error.` are OpenTelemetry's semantic conventions for messaging. These are "Development": their strings stand
 * here, in one place, and no package of them is depended upon. Nothing here ever holds a key, a tenant or a payload.
 */
export interface SpanType {
  readonly name: string
  readonly kind: 'producer' | 'client' | 'consumer'
  readonly attributes: readonly AttributeName[]
  readonly description: string
}
export interface MetricType {
  /** `observable…`: read when somebody collects, at no other time. */
  readonly kind: 'counter' | 'histogram' | 'observable-counter' | 'observable-gauge'
  /** UCUM, as OpenTelemetry writes it. */
  readonly unit: string
  readonly attributes: readonly AttributeName[]
  readonly description: string
}

export const ATTRIBUTES = {
  'messaging.system': 'the transport, e.g. `postgres`',
  'messaging.destination.name': 'the topic',
  'messaging.destination.subscription.name': 'the subscription, `<team>.<name>`',
  'messaging.operation.name': '`create`, `send` or `process`',
  'messaging.operation.type': 'the same, of the list in the conventions',
  'messaging.message.id': 'of a span of one message: its id, unique over all teams',
  'messaging.batch.message_count': 'of a span of several messages: how many',
  'error.type': 'only where something failed: the code of the error',
  'comity.team': 'the team that speaks',
  'comity.outcome': '`applied`, `duplicate`, `stale`, `waiting` or `discarded`',
  'comity.waiting.reason': 'why the line waits: `parked`, `paused`, `overflow` or `not-yet`',
  'comity.request.outcome': '`accepted`, `rejected` (for a reason of the contract), `conflict`, `discarded`, `expired` or `withdrawn`',
  'comity.attempt': 'which attempt of the message this is; 1 for the first',
} as const
export type AttributeName = keyof typeof ATTRIBUTES

export const SPANS = {
  create: {
    name: 'create <topic>',
    kind: 'producer',
    attributes: [
      'messaging.destination.name',
      'messaging.operation.name',
      'messaging.operation.type',
      'messaging.batch.message_count',
      'error.type',
    ],
    description:
      '`publish`, where a span is active or a `traceparent` was passed: its child. What it announces carries its `traceparent`; `publishMany` is one span',
  },
  send: {
    name: 'send <topic>',
    kind: 'client',
    attributes: [
      'messaging.system',
      'messaging.destination.name',
      'messaging.operation.name',
      'messaging.operation.type',
      'messaging.batch.message_count',
      'comity.team',
      'error.type',
    ],
    description: 'one call of the transport by the relay: a trace of its own, with links to what created its messages (at most 128)',
  },
  process: {
    name: 'process <subscription>',
    kind: 'consumer',
    attributes: [
      'messaging.system',
      'messaging.destination.name',
      'messaging.destination.subscription.name',
      'messaging.operation.name',
      'messaging.operation.type',
      'messaging.message.id',
      'messaging.batch.message_count',
      'comity.team',
      'comity.attempt',
      'error.type',
    ],
    description:
      'one call of a handler, a child of what created its message; what the handler publishes or writes goes on from it. Of a replica: one batch, a trace of its own with links to what created its messages (at most 128)',
  },
} as const

export const METRICS = {
  'messaging.client.sent.messages': {
    kind: 'counter',
    unit: '{message}',
    attributes: ['messaging.system', 'messaging.destination.name', 'messaging.operation.name', 'comity.team', 'error.type'],
    description: 'messages that the relay gave to the transport; with `error.type`, those that it did not store',
  },
  'messaging.client.operation.duration': {
    kind: 'histogram',
    unit: 's',
    attributes: ['messaging.system', 'messaging.destination.name', 'messaging.operation.name', 'comity.team', 'error.type'],
    description: 'how long the transport took to store a call of the relay',
  },
  'messaging.client.consumed.messages': {
    kind: 'counter',
    unit: '{message}',
    attributes: [
      'messaging.system',
      'messaging.destination.name',
      'messaging.destination.subscription.name',
      'messaging.operation.name',
      'comity.team',
      'error.type',
    ],
    description: 'messages that handlers were called with or that were given to replicas, each attempt counted',
  },
  'messaging.process.duration': {
    kind: 'histogram',
    unit: 's',
    attributes: [
      'messaging.system',
      'messaging.destination.name',
      'messaging.destination.subscription.name',
      'messaging.operation.name',
      'comity.team',
      'error.type',
    ],
    description: 'how long a call of a handler, or a batch of a replica, took',
  },
  'comity.cleared': {
    kind: 'observable-gauge',
    unit: '1',
    attributes: ['comity.team'],
    description: '1 if this process may speak for its team; 0 before that is known, and if its database is a copy of one that is alive',
  },
  'comity.broker.trouble': {
    kind: 'observable-gauge',
    unit: '1',
    attributes: ['comity.team'],
    description: '1 while the relay or a subscription of this process can not reach the broker, or it does not take what is sent',
  },
  'comity.relay.leading': {
    kind: 'observable-gauge',
    unit: '1',
    attributes: ['comity.team'],
    description: '1 if this process relays the outbox; the sum over the processes of a team is to be 1',
  },
  'comity.outbox.pending': {
    kind: 'observable-gauge',
    unit: '{message}',
    attributes: ['comity.team'],
    description: 'changes above the checkpoint: not sent yet, or sent and not settled; counted to 100,000',
  },
  'comity.outbox.oldest_age': {
    kind: 'observable-gauge',
    unit: 's',
    attributes: ['comity.team'],
    description: 'age of the oldest of them; 0 if there is none',
  },
  'comity.withheld': {
    kind: 'observable-gauge',
    unit: '{message}',
    attributes: ['comity.team'],
    description: 'changes that break their contract and can not be published',
  },
  'comity.subscription.in_flight': {
    kind: 'observable-gauge',
    unit: '{message}',
    attributes: ['comity.team', 'messaging.destination.subscription.name'],
    description: 'messages delivered to this process that have not ended',
  },
  'comity.subscription.ended': {
    kind: 'observable-counter',
    unit: '{message}',
    attributes: ['comity.team', 'messaging.destination.subscription.name', 'comity.outcome'],
    description: 'messages that ended in this process, by outcome',
  },
  'comity.subscription.lag': {
    kind: 'observable-gauge',
    unit: '{message}',
    attributes: ['comity.team', 'messaging.destination.subscription.name'],
    description: 'messages that are not acknowledged, as the broker counts them',
  },
  'comity.subscription.oldest_age': {
    kind: 'observable-gauge',
    unit: 's',
    attributes: ['comity.team', 'messaging.destination.subscription.name'],
    description: 'age of the oldest of them; 0 if there is none',
  },
  'comity.waiting.keys': {
    kind: 'observable-gauge',
    unit: '{key}',
    attributes: ['comity.team', 'messaging.destination.subscription.name', 'comity.waiting.reason'],
    description: 'keys with a line; counted to 100,000',
  },
  'comity.waiting.messages': {
    kind: 'observable-gauge',
    unit: '{message}',
    attributes: ['comity.team', 'messaging.destination.subscription.name', 'comity.waiting.reason'],
    description: 'messages in these lines; counted to 100,000',
  },
  'comity.replica.freshness': {
    kind: 'observable-gauge',
    unit: 's',
    attributes: ['comity.team', 'messaging.destination.subscription.name'],
    description: "seconds that a copy is behind its owner's topic; 0 = everything sent is here",
  },
  'comity.replica.freshness.objective': {
    kind: 'observable-gauge',
    unit: 's',
    attributes: ['comity.team', 'messaging.destination.subscription.name'],
    description: "what the team has declared with `freshness: '30s'`; only of copies that have an objective",
  },
  'comity.replica.conflicts': {
    kind: 'observable-gauge',
    unit: '{version}',
    attributes: ['comity.team', 'messaging.destination.subscription.name'],
    description: 'versions that came with two contents; the first was kept',
  },
  'comity.request.decided': {
    kind: 'counter',
    unit: '{request}',
    attributes: ['comity.team', 'messaging.destination.name', 'comity.request.outcome'],
    description:
      'requests that this team, their owner, has decided and told the asker of, by outcome. What is asked, `messaging.client.sent.messages` counts',
  },
  'comity.request.unanswered_age': {
    kind: 'observable-gauge',
    unit: 's',
    attributes: ['comity.team', 'messaging.destination.name'],
    description: 'at the owner: age of the oldest request that is not decided, in a line or at the broker; 0 if there is none',
  },
  'comity.request.open': {
    kind: 'observable-gauge',
    unit: '{request}',
    attributes: ['comity.team', 'messaging.destination.name'],
    description: 'at the asker: requests whose outcome was not heard; counted to 100,000',
  },
  'comity.request.open_age': {
    kind: 'observable-gauge',
    unit: 's',
    attributes: ['comity.team', 'messaging.destination.name'],
    description: 'age of the oldest of them; 0 if there is none',
  },
  'comity.request.overdue': {
    kind: 'observable-gauge',
    unit: '{request}',
    attributes: ['comity.team', 'messaging.destination.name'],
    description: 'those of them whose deadline has passed',
  },
  'comity.request.unhandled_age': {
    kind: 'observable-gauge',
    unit: 's',
    attributes: ['comity.team', 'messaging.destination.name'],
    description:
      'at the asker: how long ago the oldest outcome was heard whose handler has not succeeded; 0 if there is none, or no handler',
  },
} as const

export type MetricName = keyof typeof METRICS
type OfKind<Kind> = { [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends Kind ? Name : never }[MetricName]
export type CounterName = OfKind<'counter'>
export type HistogramName = OfKind<'histogram'>
export type ObservableName = OfKind<'observable-counter' | 'observable-gauge'>
export type SpanName = keyof typeof SPANS
