import type { Guarantees } from './guarantees.ts'

/**
 * THE seam: the broker as the engine sees it. Four verbs, two questions, and optional verbs that exist exactly where
 * `guarantees` says so (a law checks both ways). A transport knows nothing of outbox, inbox or contracts:
 * it moves messages, each `{ id, key, attributes, data }`, from a topic to every subscription of that topic.
 */
export interface Transport extends AsyncDisposable {
  /** Short name for logs and the guarantees table, e.g. `postgres`. */
  readonly name: string
  readonly guarantees: Guarantees

  /**
   * Creates what the plan names and does not exist yet. What exists and does not have the settings that the promises stand on is brought to
   * them (`update-…`) where the broker can change them, else COMITY_PROVISION_CONFLICT. With `dryRun`, only says what it would do.
   */
  provision(plan: ProvisionPlan, options?: { readonly dryRun?: boolean }): Promise<readonly ProvisionStep[]>

  /**
   * Sends messages of one topic, in order per bucket. Resolves when every accepted message is durable.
   * The result at index i belongs to the message at index i. After a refused message of a key, the later
   * messages of that key in the same call are refused too (`blocked`).
   * Rejects with COMITY_TRANSPORT_UNAVAILABLE when nothing is known about the call as a whole (any message may be stored:
   * send again), and with another error when nothing was stored: no such topic, not allowed, a batch beyond the limits.
   */
  send(topic: string, messages: readonly OutgoingMessage[], options?: SendOptions): Promise<readonly SendResult[]>

  /**
   * Delivers the subscription's messages until the signal aborts, then resolves when the last handler call
   * has ended. Calls `handler` with arrays of deliveries of one bucket in order; calls for different buckets overlap,
   * calls for one bucket may overlap too (the engine's lanes keep the order). A rejected call counts as `later`
   * for all of its deliveries. What is answered with `later` comes again after a pause, before anything newer of its bucket.
   * Survives restarts of the broker by itself; reports them through `onTrouble`. Rejects when waiting cannot help: the
   * subscription does not exist (any more), or the right to it is missing.
   */
  receive(subscription: string, handler: DeliveryHandler, options: ReceiveOptions): Promise<void>

  /** How many broker-side units of order a topic has: a message of key k is in the bucket {@link bucketOf}(k, buckets). Rejects as `send` does. */
  buckets(topic: string): Promise<number>

  /** Whether the broker has this subscription of that topic. Whoever may send to the topic may ask. */
  isSubscribed(topic: string, subscription: string): Promise<boolean>

  /** Where `guarantees.claims`: announces that this incarnation of a team is alive. See {@link ClaimResult}. */
  claim?(identity: Identity): Promise<ClaimResult>
  /** Where `guarantees.stats`. */
  stats?(subscriptions: readonly string[]): Promise<readonly SubscriptionStats[]>
  /** Where `guarantees.replay`: sets the subscription's position; every process that receives continues from there. */
  seek?(subscription: string, to: SeekTarget): Promise<void>
  /** Where `guarantees.remove`. Removing what does not exist is fine. */
  remove?(what: { readonly topics?: readonly string[]; readonly subscriptions?: readonly string[] }): Promise<void>

  /**
   * Where `guarantees.access` names this format: each team's least rights to the plan's objects, as text for whoever administers the
   * broker. Asks the broker nothing. Default: the first format.
   */
  access?(plan: ProvisionPlan, format?: string): Promise<string>

  /** Ends every receive and frees all connections. Idempotent. */
  close(): Promise<void>
}

export interface ProvisionPlan {
  readonly topics: readonly TopicPlan[]
  readonly subscriptions: readonly SubscriptionPlan[]
}
export interface TopicPlan {
  readonly name: string
  /** Whose it is: the only team that may send to it, but for `senders`. */
  readonly team: string
  /** Teams that may send beside it. They are added to those whom earlier plans have named: each of them provisions for itself. */
  readonly senders?: readonly string[]
  /** It is nobody's own: `team` is only the name under which it is kept, and gets no rights. */
  readonly shared?: boolean
  /** Broker-side order units; a power of two. Default: the transport's own. */
  readonly buckets?: number
}
/** A subscription gets every message whose send began after it was created, and none whose send had resolved before. */
export interface SubscriptionPlan {
  /** `<team>.<name>` */
  readonly name: string
  readonly team: string
  readonly topic: string
}
export interface ProvisionStep {
  readonly action: 'create-topic' | 'create-subscription' | 'update-topic' | 'update-subscription'
  readonly name: string
  /** What is set or changed, for people, e.g. `retention 1 d → 7 d`. */
  readonly detail?: string
}

export interface OutgoingMessage {
  /** The same on every resend. */
  readonly id: string
  /** What orders messages; the bucket is {@link bucketOf}(key, buckets). */
  readonly key: string
  readonly attributes: Readonly<Record<string, string>>
  /** JSON text; may be empty (a deletion). */
  readonly data: string
}

export interface SendOptions {
  readonly fence?: Fence
  readonly signal?: AbortSignal
}
/** Who sends: a later incarnation or, in one incarnation, a higher term wins; everything older is refused as `stale`. */
export interface Fence extends Identity {
  /** The relay lease's term. */
  readonly term: number
}
/** One life of one team's database. */
export interface Identity {
  readonly team: string
  /** First version of the incarnation; a later life has a larger one. */
  readonly incarnation: number
  /** The process that speaks; a process that survived its database's restart may continue at once. */
  readonly holder: string
}
export type ClaimResult =
  /** `highestVersion`: the highest incarnation number or version that this transport has seen of the team; 0 if none. */
  | { readonly status: 'granted'; readonly highestVersion: number }
  /** Another incarnation of the same team is alive (seen `silentFor` ms ago): this one is a clone, or too early. */
  | { readonly status: 'refused'; readonly incumbent: Identity; readonly silentFor: number }

export type SendResult =
  | { readonly status: 'stored' }
  /** The transport will never take it as it is (too large, for one). */
  | { readonly status: 'refused'; readonly reason: string }
  /** Not sent because an earlier message of the same key was not stored. */
  | { readonly status: 'blocked' }
  /** The fence is stale: stop sending. */
  | { readonly status: 'stale' }

export interface IncomingMessage extends OutgoingMessage {
  /** When the broker stored it. */
  readonly sentAt: Date
}
export interface Delivery {
  readonly message: IncomingMessage
  readonly bucket: number
  /** Deliveries of this message before this one, as far as the broker knows. */
  readonly redelivered: boolean
}
export type DeliveryResult = 'ack' | 'later'
export type DeliveryHandler = (deliveries: readonly Delivery[]) => Promise<readonly DeliveryResult[]>

export interface ReceiveOptions {
  readonly signal: AbortSignal
  /** Most messages delivered and not yet answered, over all buckets. Default 1000. */
  readonly prefetch?: number
  /** Most bytes of them, data and attributes together; at least one message is delivered all the same. Default 64 MiB. */
  readonly prefetchBytes?: number
  /** Called when the broker is lost (with the error) and when it is back (with undefined). */
  readonly onTrouble?: (error: Error | undefined) => void
}

export interface SubscriptionStats {
  readonly subscription: string
  /** Messages that are not acknowledged. */
  readonly backlog: number
  /** When the oldest of them was sent; undefined if there is none. */
  readonly oldestSentAt?: Date
  /** Messages that were never acknowledged and that the broker has removed all the same, by its retention; undefined where it can't tell. */
  readonly expired?: number
}
export type SeekTarget = 'beginning' | 'end' | { readonly time: Date }
