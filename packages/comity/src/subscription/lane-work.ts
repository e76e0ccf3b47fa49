import type { Queryable } from '../postgres/database.ts'
import type { Consumer } from './consumer.ts'
import { NotYetError } from './errors.ts'
import { recordOf } from './failure.ts'
import { type Gate, gateOf } from './gate.ts'
import { inLane, type Lane } from './lane-transaction.ts'
import type { Message, Outcome } from './message.ts'
import type { Pace } from './pace.ts'
import type { TenantShares } from './tenant-shares.ts'
import { publisherOf, reasonToTurnAway, recordTurnedAway, versionOf } from './turned-away.ts'
import { append, type Standing, type WaitingReason } from './waiting-line.ts'

export interface LaneWorkOptions<Tx> extends Lane<Tx> {
  readonly lanes: number
  readonly generation: number
  readonly consumer: Consumer<Tx>
  readonly signal: AbortSignal
  readonly shares: TenantShares
  readonly pace: Pace
  readonly replayedUntil: string | undefined
  /** A try of the breaker: its own pause is no gate to it. */
  readonly probing: boolean
  readonly mayBegin: (message: Message) => void
}

/**
 * The transactions of one lane. Each begins at the gate, under the lane's lock, and answers an outcome for each message; undefined
 * means that the gate is closed and nothing has happened.
 */
export class LaneWork<Tx> {
  readonly #options: LaneWorkOptions<Tx>

  constructor(options: LaneWorkOptions<Tx>) {
    this.#options = options
  }

  /**
   * dedupe → handle → record, of those messages that may be handled now; the others join the lines of their keys.
   * @param onBegin told each message that is handled, before it is; undefined when all of them have been
   */
  handle(
    messages: readonly Message[],
    attempt: number,
    onBegin: (message: Message | undefined) => void,
  ): Promise<readonly Outcome[] | undefined> {
    const { consumer, signal, generation, subscription, replayedUntil, pace } = this.#options
    const mayBegin = (message: Message): void => {
      onBegin(message)
      this.#options.mayBegin(message)
    }
    const newest = messages.reduce((time, { envelope }) => (envelope.time > time ? envelope.time : time), '')
    return this.#throughGate(messages, { time: newest }, async (left, gate, tx, sql) => {
      const go = this.#allowed(left, gate)
      const outcomes =
        go.length === 0
          ? []
          : await pace.measure(go.length, () =>
              consumer.consume({ messages: go, subscription, generation, attempt, tx, sql, signal, mayBegin, replayedUntil }),
            )
      onBegin(undefined)
      if (go.length === left.length) return outcomes
      const ended = new Map(go.map((message, i) => [message, outcomes[i] as Outcome]))
      const others = left.filter((message) => !ended.has(message))
      for (const [i, outcome] of (await this.#join(sql, others, gate)).entries()) ended.set(others[i] as Message, outcome)
      return left.map((message) => ended.get(message) as Outcome)
    })
  }

  /** All of them join the lines of their keys, to make room for others. */
  putAside(messages: readonly Message[]): Promise<readonly Outcome[] | undefined> {
    return this.#throughGate(messages, {}, (left, gate, _tx, sql) => this.#join(sql, left, gate))
  }

  /**
   * The one that failed is the head of its key's line; its followers find the line and join it. Meanwhile another process may have had the lane,
   * the same message, and success: then there is nothing to wait for.
   * @param message without an envelope where it can't be read
   */
  park(
    message: Message | Pick<Message, 'incoming'>,
    reason: 'parked' | 'not-yet',
    error: unknown,
    attempts: number,
  ): Promise<readonly Outcome[] | undefined> {
    const { consumer, subscription, generation } = this.#options
    const { incoming } = message
    const wants = error instanceof NotYetError ? error.until : undefined
    const standing = { ...this.#standing(reason), failure: recordOf(error), attempts, ...(wants === undefined ? {} : { wants }) }
    const counting = { failed: reason === 'parked' ? 1 : 0 }
    return this.#throughGate([message], counting, async (_left, _gate, _tx, sql) => {
      const done = 'envelope' in message ? await consumer.done?.({ messages: [message], subscription, generation, sql }) : undefined
      return done?.has(incoming.id) ? ['duplicate'] : append(sql, [incoming], standing)
    })
  }

  /** @param work gets those that are not turned away, at least one */
  async #throughGate<Of extends Pick<Message, 'incoming'>>(
    messages: readonly Of[],
    counting: { readonly time?: string; readonly failed?: number },
    work: (left: readonly Of[], gate: Gate, tx: Tx, sql: Queryable) => Promise<readonly Outcome[]>,
  ): Promise<readonly Outcome[] | undefined> {
    const { subscription, generation, probing } = this.#options
    const keys = messages.map(({ incoming }) => incoming.key)
    const tenants = [...new Set(messages.flatMap(({ incoming }) => tenantOf(incoming) ?? []))]
    let open = true
    const outcomes = await inLane(this.#options, counting, async (tx, sql) => {
      const versions = messages.map(({ incoming }) => versionOf(incoming))
      const owners = messages.map(({ incoming }) => publisherOf(incoming))
      const gate = await gateOf(sql, { subscription, generation, keys, tenants, probing, versions, owners })
      open = gate.open
      if (!open) return []
      if (gate.erased.size + gate.lost.size === 0) return work(messages, gate, tx, sql)
      const gone = new Map(messages.map((message) => [message, reasonToTurnAway(message.incoming, gate)]))
      await recordTurnedAway(sql, subscription, gone)
      const left = messages.filter((message) => gone.get(message) === undefined)
      const ended = left.length === 0 ? [] : await work(left, gate, tx, sql)
      const outcomeOf = new Map(left.map((message, i) => [message, ended[i] as Outcome]))
      return messages.map((message): Outcome => outcomeOf.get(message) ?? 'discarded')
    })
    return open ? outcomes : undefined
  }

  /** No line before them, their tenant neither paused nor beyond its rate. */
  #allowed(messages: readonly Message[], { waiting, paused }: Gate): readonly Message[] {
    const { shares, probing } = this.#options
    const held = new Set<string>()
    const go = messages.filter(({ incoming, envelope: { tenant } }) => {
      if (waiting.has(incoming.key) || held.has(incoming.key)) return false
      if ((tenant === undefined || !paused.has(tenant)) && (probing || shares.allows(tenant))) return true
      held.add(incoming.key) // what follows it in this batch stays behind it
      return false
    })
    return go.length === messages.length ? messages : go
  }

  /** To the end of their keys' lines, but for those whose effect has happened already. */
  async #join(sql: Queryable, messages: readonly Message[], { waiting, paused }: Gate): Promise<readonly Outcome[]> {
    const { consumer, subscription, generation } = this.#options
    const done = await consumer.done?.({ messages, subscription, generation, sql })
    const ended = new Map<Message, Outcome>()
    const reasons = new Map<string, WaitingReason>()
    const lines = new Map<WaitingReason, Message[]>()
    for (const message of messages) {
      const { incoming, envelope } = message
      if (done?.has(incoming.id)) {
        ended.set(message, 'duplicate')
        continue
      }
      const isPaused = envelope.tenant !== undefined && paused.has(envelope.tenant)
      // Of a key that has a line already, it is the line's.
      const reason = reasons.get(incoming.key) ?? (isPaused ? 'paused' : waiting.has(incoming.key) ? 'parked' : 'overflow')
      reasons.set(incoming.key, reason)
      lines.set(reason, [...(lines.get(reason) ?? []), message])
    }
    for (const [reason, joining] of lines) {
      const incoming = joining.map((message) => message.incoming)
      const outcomes = await append(sql, incoming, this.#standing(reason))
      for (const [i, outcome] of outcomes.entries()) ended.set(joining[i] as Message, outcome)
    }
    return messages.map((message) => ended.get(message) as Outcome)
  }

  #standing(reason: WaitingReason): Standing {
    const { subscription, lanes, generation } = this.#options
    return { subscription, lanes, generation, reason }
  }
}

/** As the envelope has it, also where that can't be read as a whole. */
export function tenantOf({ attributes }: Message['incoming']): string | undefined {
  return attributes['ce-comitytenant']
}
