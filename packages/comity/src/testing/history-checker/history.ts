/**
 * What a fault run writes down, and what is looked at when it has drained. Plain data, so that it can be kept as JSON lines; nothing here
 * knows the code under test. Times are monotonic milliseconds of one machine (CLOCK_MONOTONIC), comparable between its processes.
 *
 * A *mark* is a text that one change alone carries, into its row, its message and every effect of it; so whatever appears anywhere can be
 * traced to the attempt that made it. A deletion carries none (null): deletions are counted per key.
 */
export type Operation = WriteBegin | WriteEnd | Ask | Publication | Send | Acknowledgement | Read | Fault

interface Recorded {
  readonly process: string
  readonly time: number
}

/** One transaction of a writer, before it begins. `op` pairs it with its end. */
export interface WriteBegin extends Recorded {
  readonly f: 'write'
  readonly phase: 'invoke'
  readonly op: string
  readonly changes: readonly Change[]
  /** A copy of a live database: nothing written there may appear anywhere. */
  readonly clone?: boolean
}

export interface Change {
  readonly topic: string
  readonly key: string
  readonly kind: 'state' | 'deleted' | 'event'
  readonly mark: string | null
}

/** `info` = nobody knows whether it committed. */
export interface WriteEnd extends Recorded {
  readonly f: 'write'
  readonly phase: 'ok' | 'fail' | 'info'
  readonly op: string
  /** When COMMIT was sent; absent if it never was. */
  readonly committingAt?: number
  /** What became of each change, by its index. */
  readonly outcomes?: readonly ChangeOutcome[]
}

export interface ChangeOutcome {
  /** When its statement was sent. */
  readonly at?: number
  /** The number that the owner gave it, where it told. */
  readonly version?: number
  /** It never happened although its transaction may have committed: rolled back to a savepoint, or it found no row. */
  readonly undone?: boolean
}

/** A request in a transaction of its asker, and how that ended; `info` = nobody knows whether it committed. */
export interface Ask extends Recorded {
  readonly f: 'ask'
  readonly phase: 'ok' | 'fail' | 'info'
  readonly asker: string
  readonly id: string
  readonly topic: string
  readonly key: string
  /** What its acceptance writes. */
  readonly mark: string
  /** What must be there when it is decided; null: there was nothing. Absent: whatever is. */
  readonly expect?: string | null
}

/** A message as an independent subscriber of the broker saw it, in the broker's order per key. Repetitions are recorded too. */
export interface Publication extends Recorded {
  readonly f: 'publication'
  readonly phase: 'ok'
  readonly topic: string
  readonly key: string
  readonly kind: Change['kind']
  readonly version: number
  readonly mark: string | null
  readonly message: string
}

/** A relay's call of the broker. `ok` = at least one message was stored; `fail` = all were refused. */
export interface Send extends Recorded {
  readonly f: 'send'
  readonly phase: 'invoke' | 'ok' | 'fail' | 'info'
  readonly op: string
  readonly team: string
  readonly incarnation: number
  readonly term: number
}

/** The broker was told that these messages are done. */
export interface Acknowledgement extends Recorded {
  readonly f: 'ack'
  readonly phase: 'ok'
  readonly subscription: string
  readonly messages: readonly string[]
}

/** A read of one key of a replica; with `token`, one that waited for at least that version. */
export interface Read extends Recorded {
  readonly f: 'read'
  readonly phase: 'ok'
  readonly replica: string
  readonly key: string
  readonly token?: number
  /** null: no such row. */
  readonly version: number | null
  /** When the reading began. */
  readonly invokedAt: number
}

/** Only `ok` counts as a fault that really happened. */
export interface Fault extends Recorded {
  readonly f: 'fault'
  readonly phase: 'invoke' | 'ok' | 'fail' | 'info'
  readonly name: string
}

/** What was promised of a topic's order: by version, or what real time shows only. */
export interface TopicPromise {
  readonly name: string
  readonly promise: 'entity' | 'ordered' | 'event'
  /** Topics of one owner draw their versions from one sequence. Default: the topic's own. */
  readonly owner?: string
}

/** What was looked at after the drain. */
export interface Observations {
  readonly topics: readonly TopicPromise[]
  /** How many faults were meant to happen. */
  readonly faultsScheduled: number
  readonly drained: boolean
  /** False where the broker can't refuse what a zombie sends: there it is a repetition like any other. */
  readonly fenced?: boolean
  /** The `op`s of the writes whose rows are in the owners' databases; absent where nobody looked. */
  readonly committed?: readonly string[]
  /** An owner's database was put back to an older state: acknowledged writes may be gone from it, by intention. */
  readonly restored?: boolean
  readonly outboxes: readonly OutboxObservation[]
  readonly subscriptions: readonly SubscriptionObservation[]
  readonly replicas: readonly ReplicaObservation[]
  readonly requests?: readonly RequestObservation[]
  /** What a component has in its own records, beside what it showed of it. */
  readonly troubles?: readonly TroubleObservation[]
  /** What must not grow without end, and the worst that was seen of it. */
  readonly bounds?: readonly BoundObservation[]
  /** Longest accepted time from a commit to its effect, in milliseconds. */
  readonly maxLag?: number
}

export interface OutboxObservation {
  readonly team: string
  /** Every change that the owner recorded for publication. */
  readonly changes: readonly { readonly version: number; readonly topic: string; readonly key: string }[]
  /** Not retried with success. The mark is the only link to the attempt, for it was never published. */
  readonly withheld: readonly { readonly version: number; readonly mark: string | null }[]
  readonly pending: readonly number[]
  /** Each move of what counts as settled, in order. */
  readonly checkpoints: readonly { readonly version: number; readonly term: number }[]
}

/** A subscription with a handler whose effects can be seen. */
export interface SubscriptionObservation {
  readonly name: string
  readonly topic: string
  /** In the order in which they were made; first deliveries and their effects. */
  readonly effects: readonly Effect[]
  /** Ids of messages that wait, and of those ended without effect, by name. */
  readonly waiting: readonly string[]
  readonly discarded: readonly string[]
  readonly backlog: number
  /** What an operator has put in the place of a message that waited: the original never has its effect. */
  readonly edited?: readonly { readonly message: string; readonly replacedBy: string }[]
  /** What the subscription itself counts, where it counts: had their effect, wait now, were ended without effect. */
  readonly counts?: { readonly applied: number; readonly waiting: number; readonly discarded: number }
}
export interface Effect {
  readonly generation: number
  readonly message: string
  readonly key: string
  readonly kind: Change['kind']
  readonly version: number
  readonly mark: string | null
  /** When, where known: for the worst lag. */
  readonly time?: number
}

export interface ReplicaObservation {
  readonly name: string
  readonly topic: string
  readonly fields: readonly string[]
  /** The owner's rows with the declared fields, as texts. */
  readonly owner: readonly Row[]
  /** The copy's. */
  readonly rows: readonly (Row & { readonly version: number })[]
  /** Every change of the copy's rows, in order; absent where nobody watched. */
  readonly changes?: readonly ReplicaChange[]
  /** Messages that wait, by key: such a key is not judged. */
  readonly waitingKeys: readonly string[]
  readonly backlog: number
  /** What became of its messages, where it counts: applied + stale + duplicate + waiting + discarded. */
  readonly ended?: number
}
/** The requests of one contract, as both sides have them. */
export interface RequestObservation {
  readonly topic: string
  /** Each decision in the owner's database. */
  readonly decided: readonly RequestOutcome[]
  /** What each asker has heard; `outcome` is null where it has heard nothing. */
  readonly heard: readonly (Omit<RequestOutcome, 'outcome'> & { readonly outcome: string | null })[]
  /** What handlers wrote with an acceptance, in the order of the owner's commits per key. */
  readonly effects: readonly { readonly asker: string; readonly id: string; readonly key: string; readonly mark: string }[]
  /** The owner's rows before the first of these requests, and in the end: key → mark; nobody else wrote them. */
  readonly before: Readonly<Record<string, string>>
  readonly after: Readonly<Record<string, string>>
}
export interface RequestOutcome {
  readonly asker: string
  readonly id: string
  readonly outcome: string
}
export interface Row {
  readonly key: string
  readonly fields: Readonly<Record<string, string | null>>
}
export interface ReplicaChange {
  readonly key: string
  /** null: the row went. */
  readonly version: number | null
}

export interface TroubleObservation {
  readonly component: string
  readonly trouble: string
  readonly known: number
  readonly shown: number
}

export interface BoundObservation {
  readonly component: string
  /** In which unit, too: `memory in MB`. */
  readonly of: string
  readonly worst: number
  readonly limit: number
}
