import type { Guarantees } from '../../transport/guarantees.ts'
import type { OutgoingMessage, SendResult, Transport } from '../../transport/transport.ts'
import type { ObserveOptions, Observer } from './observer.ts'

/** A broker as the laws see it: any number of clients, and what can happen to it. */
export interface LawBroker {
  /** A client of its own, as another process would have. The laws close what they open. */
  connect(): Promise<Transport>
  /** Ends this client without a goodbye, as kill -9 would: nothing of it reaches the broker any more. */
  crash?(transport: Transport): Promise<void>
  /** Ends the broker without warning and starts it again; resolves when it answers. */
  restartBroker?(): Promise<void>
  dispose(): Promise<void>
}

/** What a law works with. Names are its own, so that laws can share one broker. */
export interface LawContext {
  readonly broker: LawBroker
  readonly guarantees: Guarantees
  /** The longest that anything that must happen may take, in milliseconds. */
  readonly patience: number
  /** How long an incarnation must be silent before a stranger may succeed it, in milliseconds. */
  readonly claimSilence: number
  readonly team: string
  readonly topic: string
  connect(): Promise<Transport>
  /** Creates the law's topic and, for each word, the subscription `<team>.<word>`; answers their names. */
  provision(transport: Transport, words: readonly string[], topic?: string): Promise<readonly string[]>
  /** Receives in the background; ended with the law at the latest. */
  observe(transport: Transport, subscription: string, options?: ObserveOptions): Observer
  /** Resolves when `condition` holds; rejects with `what` after {@link patience}. */
  eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void>
}

export interface Law {
  readonly name: string
  /** Why this law says nothing about a transport with these guarantees; undefined = it applies. */
  readonly exempts?: (guarantees: Guarantees) => string | undefined
  readonly run: (law: LawContext) => Promise<void>
}

let sequence = 0

export function message(key: string, data = '{}', attributes: Readonly<Record<string, string>> = {}): OutgoingMessage {
  return { id: `m${++sequence}`, key, attributes, data }
}

export function messages(count: number, keyOf: (n: number) => string): readonly OutgoingMessage[] {
  return Array.from({ length: count }, (_, n) => message(keyOf(n), JSON.stringify({ n })))
}

export const statuses = (results: readonly SendResult[]): readonly string[] => results.map((result) => result.status)
