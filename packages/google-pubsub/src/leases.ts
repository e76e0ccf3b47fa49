import { backoff, type Clock } from 'comity/transport'

/** A request may have 524,288 bytes, and an acknowledgement id has some 200. */
const MOST_IDS = 2000
/** Beyond so many that the service did not take, messages come again, and the inbox knows them. */
const MOST_WAITING = 100_000

export interface LeasesOptions {
  readonly acknowledge: (ackIds: string[]) => Promise<unknown>
  /** Sets what is left of leases, in seconds. */
  readonly modify: (ackIds: string[], seconds: number) => Promise<unknown>
  /** Whether a request that failed with this may succeed later. */
  readonly isPassing: (error: unknown) => boolean
  /** Seconds that a lease is extended by. */
  readonly ackDeadline: number
  readonly clock: Clock
}

/**
 * The leases of a receiver, by acknowledgement id: extended for as long as they are held, ended by an acknowledgement or by running out.
 * One request of acknowledgements is in flight while the next accumulates; one that fails is repeated. The service answers for none of them:
 * a lost one means that its message comes again.
 */
export class Leases {
  readonly #options: LeasesOptions
  readonly #held = new Set<string>()
  #done: string[] = []
  #saying: Promise<void> | undefined
  readonly #closing = new AbortController()

  constructor(options: LeasesOptions) {
    this.#options = options
  }

  hold(ackId: string): void {
    this.#held.add(ackId)
  }

  /** This message is done. */
  acknowledge(ackIds: readonly string[]): void {
    for (const ackId of ackIds) this.#held.delete(ackId)
    if (this.#done.length < MOST_WAITING) this.#done.push(...ackIds)
    this.#saying ??= this.#say().finally(() => {
      this.#saying = undefined
    })
  }

  /** Resolves when every acknowledgement so far has been taken, or been refused for good. */
  async said(): Promise<void> {
    await this.#saying
  }

  /** Nothing is extended or said again any more. */
  close(): void {
    this.#closing.abort()
  }

  /** Extends what is held, until it is closed. */
  async keep(): Promise<void> {
    const { clock, ackDeadline } = this.#options
    const { signal } = this.#closing
    while (!signal.aborted) {
      await clock.sleep(ackDeadline * 400, signal)
      if (!signal.aborted) await this.#modify([...this.#held], ackDeadline)
    }
  }

  /** These run out after so many seconds, and nobody extends them. */
  async shorten(ackIds: readonly string[], seconds: number): Promise<void> {
    for (const ackId of ackIds) this.#held.delete(ackId)
    await this.#modify(ackIds, seconds)
  }

  async #modify(ackIds: readonly string[], seconds: number): Promise<void> {
    const { modify } = this.#options
    // One after the other: what is first runs out first.
    for (let from = 0; from < ackIds.length; from += MOST_IDS)
      await modify(ackIds.slice(from, from + MOST_IDS), seconds).catch(() => undefined)
  }

  async #say(): Promise<void> {
    const { acknowledge, isPassing, clock } = this.#options
    const { signal } = this.#closing
    // What ends together is said together.
    await clock.sleep(1)
    for (let failures = 0; this.#done.length > 0 && !signal.aborted; ) {
      const ackIds = this.#done.splice(0, MOST_IDS)
      try {
        await acknowledge(ackIds)
        failures = 0
      } catch (error) {
        if (!isPassing(error)) continue
        this.#done.unshift(...ackIds)
        await clock.sleep(backoff(failures++, { min: 50, max: 5000 }) + 20, signal)
      }
    }
  }
}
