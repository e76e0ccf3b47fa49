/**
 * What a transport promises, as one frozen value. The relay, the transport laws, the table in
 * `docs/transports.md` and the console all read this and nothing else; there is no `if (name === …)` anywhere.
 */
export interface Guarantees {
  /** Messages of one bucket reach a subscription in the order in which their sends were acknowledged. */
  readonly orderPerBucket: boolean
  /** At any moment at most one process receives a given bucket of a subscription (leases inside the transport). */
  readonly oneProcessPerBucket: boolean
  /** Acknowledged messages survive a crash of the broker and of every client. */
  readonly durable: boolean
  /** `seek` exists: a subscription can go back over retained messages. */
  readonly replay: boolean
  /** `stats` exists: backlog and age of the oldest message, from the broker itself. */
  readonly stats: boolean
  /** `remove` exists: subscriptions and topics can be taken away. */
  readonly remove: boolean
  /** `claim` exists: a clone of a live database, or another life of it, is told that it may not speak. */
  readonly claims: boolean
  /** `send` refuses a stale fence: a zombie relay is turned away by the broker itself. Implies `claims`. */
  readonly fencing: boolean
  /** How long a message of the same id is recognised by the broker itself, in milliseconds; 0 = never. */
  readonly dedupeWindow: number
  /** How long after its first delivery a message that was not acknowledged can come again, in milliseconds. */
  readonly redeliveryWindow: number
  readonly limits: TransportLimits
  /** Forms in which `access` writes down each team's least rights, the usual one first, e.g. `['gcloud', 'terraform']`; empty = there is no `access`. */
  readonly access: readonly string[]
}

export interface TransportLimits {
  /** Messages in one `send`. */
  readonly batchMessages: number
  /** Bytes in one `send`, data and attributes together. */
  readonly batchBytes: number
  /** Bytes of one message, data and attributes together. */
  readonly messageBytes: number
}
