/** A broker that was launched for a test, a bench or the story; it ends with `close` at the latest. */
export interface LaunchedBroker {
  readonly name: BrokerName
  /** As `COMITY_TRANSPORT` takes it. */
  readonly url: string
  readonly port: number
  /** For faults: SIGKILL, SIGSTOP. */
  readonly pid: number
  /** Ends it at once, as a crash would; what is on its disk stays. */
  kill(): Promise<void>
  /** Starts it again on the same port and files. */
  restart(): Promise<void>
  /** Ends it and removes its files. */
  close(): Promise<void>
}
export type BrokerName = 'nats' | 'google-pubsub'
export interface LaunchOptions {
  /** Lines of nats-server's configuration. */
  readonly config?: string
}

export const brokerNames: readonly BrokerName[]

/** Brings the programs in where that may be done: Debian's nats-server, unpacked and not installed. Answers what is still missing, with the reason. */
export function fetchBroker(name: BrokerName): Promise<string | undefined>
/** Whether the broker's program is here. Where it has to be (CI), its absence is a failure of the tests that need it. */
export function brokerIsHere(name: BrokerName): boolean
export function launchBroker(name: BrokerName, options?: LaunchOptions): Promise<LaunchedBroker>
