import { ComityError } from '@comity/contract'
import { backoff, type Clock, type Logger, logEvent } from '../foundation/index.ts'
import type { Fence, SendResult, Transport } from '../transport/transport.ts'
import { RelayFenced } from './errors.ts'
import type { HandedOver } from './handed-over.ts'
import type { OutboxRow } from './outbox-reader.ts'
import { messageOf, type Route } from './outgoing-message.ts'
import { sendWithinLimits } from './sending.ts'
import { nameOf, type Prepared, type WithheldRow, type Withholding, type WithholdReason } from './withholding.ts'

/** What is sent at once. */
export interface Batch {
  readonly rows: readonly OutboxRow[]
  /** Of the registrations that new rows may be of; undefined: they were withheld, and are tried again. */
  readonly registrationMark: string | undefined
}

/** What this team publishes. */
export interface PublishedContracts {
  /** Which registrations this knows (outbox/registration-mark.ts). */
  readonly registrationMark: string
  /** Where a contract's messages go: one topic, or one for each audience with what that audience may see. Undefined = unknown. */
  routesOf(contract: string): readonly Route[] | undefined
  /** Why a row can't be published, or undefined if it can. Rows that our own `publish` has checked are not asked about. */
  judge(row: OutboxRow): WithholdReason | undefined
}

export interface DeliveryOptions {
  readonly team: string
  readonly transport: Transport
  readonly withholding: Withholding
  readonly handedOver: HandedOver
  /** What the database says this team publishes; asked when rows are met that may be of other registrations. */
  readonly contracts: () => Promise<PublishedContracts>
  /** Whether this process still leads; asked before a batch is sent again. */
  readonly leads: () => Promise<boolean>
  /** The broker did not take a batch; undefined: it took one again. */
  readonly onTrouble: (error: Error | undefined) => void
  readonly clock: Clock
  readonly logger: Logger
}

/** Rows of the outbox → messages at the broker, and a record of each that can't be one. */
export class Delivery {
  readonly #options: DeliveryOptions
  #contracts: PublishedContracts | undefined

  constructor(options: DeliveryOptions) {
    this.#options = options
  }

  /**
   * Sends one batch, topic by topic at the same time. When it resolves, each row is stored by the broker, or recorded as withheld.
   * Rows that were withheld come again whole keys at a time: then they do not wait for themselves.
   * @returns the rows that were stored
   */
  async deliver({ rows, registrationMark }: Batch, fence: Fence, signal: AbortSignal): Promise<readonly OutboxRow[]> {
    const { withholding, handedOver } = this.#options
    const which = registrationMark === undefined ? 'retried' : 'new'
    const contracts = await this.#contractsFor(registrationMark)
    const withheld: WithheldRow[] = []
    const held = new Map<string, number>()
    const topics = new Map<string, Prepared[]>()
    for (const row of rows) {
      if (row.kind === 'erased' || handedOver.heed(row)) continue
      const follows = row.kind === 'event' ? (held.get(nameOf(row)) ?? (which === 'new' ? withholding.heldBy(row) : undefined)) : undefined
      const reason = this.#judge(row, contracts, follows, which) ?? this.#prepare(row, contracts, topics)
      if (reason === undefined) continue
      withheld.push({ row, ...reason })
      if (row.kind === 'event') held.set(nameOf(row), row.id)
    }
    const refused = await Promise.all([...topics].map(([topic, prepared]) => this.#sendAll(topic, prepared, fence, signal)))
    withheld.push(...refused.flat())
    withheld.sort((a, b) => a.row.id - b.row.id)
    await withholding.record(withheld)
    const gone = new Set(withheld.map((w) => w.row.id))
    const stored = gone.size === 0 ? rows : rows.filter((row) => !gone.has(row.id))
    await withholding.supersede(stored)
    return stored
  }

  /** No older than the rows: what a newer process has registered they may be made by, whichever process relays them. */
  async #contractsFor(registrationMark: string | undefined): Promise<PublishedContracts> {
    if (this.#contracts === undefined || this.#contracts.registrationMark !== registrationMark) {
      this.#contracts = await this.#options.contracts()
    }
    return this.#contracts
  }

  #judge(row: OutboxRow, contracts: PublishedContracts, follows: number | undefined, which: 'new' | 'retried'): WithholdReason | undefined {
    if (follows !== undefined)
      return { code: 'COMITY_FOLLOWS_WITHHELD', reason: `an earlier event of this key is withheld (${follows})`, follows }
    if (contracts.routesOf(row.topic) === undefined)
      return { code: 'COMITY_NOT_PUBLISHED_HERE', reason: `the database does not know ${row.topic}: run "comity migrate"` }
    return this.#options.handedOver.judge(row, which) ?? (row.checked ? undefined : contracts.judge(row))
  }

  /** Adds the row's messages to their topics; or says why it can't be a message, for no row may stop the relay. */
  #prepare(row: OutboxRow, contracts: PublishedContracts, topics: Map<string, Prepared[]>): WithholdReason | undefined {
    try {
      const routes = contracts.routesOf(row.topic) ?? []
      const made = routes.map((route) => [route.topic, { row, message: messageOf(this.#options.team, row, route) }] as const)
      for (const [topic, prepared] of made) {
        const sameTopic = topics.get(topic)
        if (sameTopic) sameTopic.push(prepared)
        else topics.set(topic, [prepared])
      }
      return undefined
    } catch (error) {
      const reason = error instanceof ComityError ? error.message.split('\n', 1)[0] : undefined
      return { code: 'COMITY_INVALID_DATA', reason: reason ?? 'its headers or its payload are not JSON' }
    }
  }

  /** Resolves when the transport has stored each message or said that it never will; those come back as withheld. */
  async #sendAll(topic: string, prepared: readonly Prepared[], fence: Fence, signal: AbortSignal): Promise<WithheldRow[]> {
    const withheld: WithheldRow[] = []
    for (let left = prepared; left.length > 0; ) {
      const results = await this.#sendUntilStored(topic, left, fence, signal)
      const overtaking: Prepared[] = []
      for (const [i, result] of results.entries()) {
        const one = left[i] as Prepared
        // What follows a refused state of an entity takes its place; only events wait for each other.
        if (result.status === 'blocked' && one.row.kind !== 'event') overtaking.push(one)
        else withheld.push(...(refusal(result, one.row) ?? []))
      }
      left = overtaking
    }
    return withheld
  }

  async #sendUntilStored(topic: string, prepared: readonly Prepared[], fence: Fence, signal: AbortSignal): Promise<readonly SendResult[]> {
    const { team, transport, leads, onTrouble, clock, logger } = this.#options
    const messages = prepared.map((one) => one.message)
    for (let failures = 0; ; ) {
      try {
        const results = await sendWithinLimits(transport, topic, messages, { fence })
        if (results.some((result) => result.status === 'stale')) throw new RelayFenced({ team })
        onTrouble(undefined)
        return results
      } catch (error) {
        if (error instanceof RelayFenced || signal.aborted || !(await leads())) throw error
        onTrouble(error as Error)
        logEvent(logger, 'comity.relay.not_taken', { topic, failures, error })
        await clock.sleep(backoff(failures++, { min: 50, max: 5000 }) + 10, signal)
      }
    }
  }
}

function refusal(result: SendResult, row: OutboxRow): WithheldRow[] | undefined {
  if (result.status === 'refused') return [{ row, code: 'COMITY_REFUSED_BY_BROKER', reason: result.reason }]
  if (result.status === 'blocked')
    return [{ row, code: 'COMITY_FOLLOWS_WITHHELD', reason: 'an earlier message of this key was refused by the broker' }]
  return undefined
}
