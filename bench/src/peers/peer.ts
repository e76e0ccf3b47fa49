export interface PeerWork {
  readonly events: number
  /** Messages a batch. */
  readonly batch: number
  readonly sample: (n: number) => {
    readonly id: string
    readonly key: string
    readonly attributes: Readonly<Record<string, string>>
    readonly data: string
  }
}
/** A client library's own best loops: publishes all, durably, and consumes all, acknowledged, both at once. */
export type Peer = (url: string, work: PeerWork) => Promise<void>
