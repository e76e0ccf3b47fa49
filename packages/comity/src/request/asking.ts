import { randomUUID } from 'node:crypto'
import type { AboutOf, DataOf, Request } from '@comity/contract'
import type { Kept } from '../catalog/declaration.ts'
import { BadOption, type Clock, checkOptions, type Duration, parseDuration, systemClock } from '../foundation/index.ts'
import { inCreation } from '../outbox/creation.ts'
import { translateSqlError } from '../outbox/errors.ts'
import { notBeforeText } from '../outbox/not-before.ts'
import { checkTraceparent, headersOf, Publisher } from '../outbox/publisher.ts'
import type { Queryable } from '../postgres/database.ts'
import type { AppliedKeys, Token } from '../replica/replica.ts'
import type { Accepted, Asked, AskedState, Outcome } from './asked.ts'
import { ExpectationUnfit, NoSuchRequest, NotAskedHere, OutcomeOverdue } from './errors.ts'
import { copiedState, digestOf, type ExpectedField, expectable, expectedFields, fieldsText, givenState } from './expectation.ts'

export interface AskOptions<R extends Request = Request> {
  /** The request's own id, 1 to 64 letters, digits and `. _ : -`: asked again with it, nothing is asked again. Default: a new UUID. */
  readonly id?: string
  /**
   * What must still be so when the owner decides, else it answers `conflict`: the values that somebody has seen, by the entity's published fields;
   * `'copy'`: all that this team's copy says of the key now; null: that there is no such state.
   */
  readonly expect?: Expected<R>
  /** After it the owner does nothing any more, by its own clock: a time, or how long from now. Default: none. */
  readonly deadline?: Date | Duration
  /** W3C trace context to travel with it. Default: that of the active OpenTelemetry span. */
  readonly traceparent?: string
}
export type Expected<R extends Request> = 'copy' | null | Seen<AboutOf<R>>
/** What a reader of a copy has seen: what is missing is null there, and some drivers make a Date of a time. */
type Seen<State> = { readonly [Field in keyof State]?: State[Field] | null | Date }

const ASK = `
  select comity.ask($1::text, $2::text, $3::text, $4::text::timestamptz, $5::text, $6::text, $7::text, $8::text, true) as id`
const WITHDRAW = 'select comity.withdraw_request($1::text) as withdrawing'
const LOOK = `
  select a.outcome, a.reason, a.detail, a.owner_version::text as version, a.entity, a.key, a.visible_at is not null as visible,
    to_char(a.decided_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as decided
  from comity.asked a where a.id = $1::text and a.topic = $2::text`

interface Row {
  readonly outcome: Outcome['state'] | null
  readonly reason: string | null
  readonly detail: string | null
  readonly version: string | null
  readonly entity: string
  readonly key: string
  readonly visible: boolean
  readonly decided: string | null
}

export interface AskingOptions {
  readonly team: string
  readonly asks: () => readonly Request[]
  readonly keeps: () => readonly Kept[]
  readonly database: Queryable
  /** Announces the ids of requests whose outcomes were heard in this process. */
  readonly heard: AppliedKeys
  /** Waits until this team's copy has that; throws where it keeps none. */
  readonly waitFor: (request: Request, token: Token | undefined, options: { timeout?: number; signal?: AbortSignal }) => Promise<void>
  readonly clock?: Clock
}

/** The asking side of a team. It works on a team that was never started: what it needs is the database. */
export class Asking {
  readonly #options: AskingOptions
  readonly #doors = new Map<string, Publisher<Request>>()

  constructor(options: AskingOptions) {
    this.#options = options
  }

  /** Asks in the transaction that `sql` is. Throws as `publish` does, and COMITY_NOT_ASKED_HERE, COMITY_EXPECTATION_UNFIT. */
  async ask<R extends Request>(sql: Queryable, request: R, data: DataOf<R>, options: AskOptions<R> = {}): Promise<Asked<R>> {
    checkOptions(options, ['id', 'expect', 'deadline', 'traceparent'], 'ask')
    checkTraceparent(options.traceparent)
    const { key, tenant, text } = this.#doorOf(request).check(data as never)
    const deadline = this.#deadlineOf(options.deadline)
    const id = idOf(options.id)
    return inCreation({ topic: request.name, traceparent: options.traceparent, count: 1 }, async (traceparent) => {
      try {
        const expect = options.expect === undefined ? null : await this.#expectation(sql, request, key, id, options.expect)
        const values = [request.name, text, id, deadline, expect, headersOf(traceparent) ?? null, key, tenant ?? null]
        await sql.query(ASK, values)
      } catch (error) {
        throw translateSqlError(error, request.name)
      }
      return this.handle(request, id)
    })
  }

  /** Asks the owner to end it; false: its outcome is known here already. */
  async withdraw(sql: Queryable, request: Request, id: string): Promise<boolean> {
    this.#doorOf(request)
    try {
      const { rows } = await sql.query<{ withdrawing: boolean }>(WITHDRAW, [id])
      return rows[0]?.withdrawing === true
    } catch (error) {
      throw translateSqlError(error, request.name)
    }
  }

  /** A request of before, by its id. */
  handle<R extends Request>(request: R, id: string): Asked<R> {
    const look = async (): Promise<Row> => {
      const row = (await this.#options.database.query<Row>(LOOK, [id, request.name])).rows[0]
      if (row === undefined) throw new NoSuchRequest({ team: this.#options.team, id })
      return row
    }
    return {
      id,
      request: request.name,
      outcome: (given = {}) => this.#await(request, id, look, given),
      async state(): Promise<AskedState> {
        const { outcome, visible } = await look()
        return visible ? 'visible' : (outcome ?? 'requested')
      },
    }
  }

  #doorOf(request: Request): Publisher<Request> {
    const known = this.#doors.get(request.name)
    if (known !== undefined) return known
    if (!this.#options.asks().some(({ name }) => name === request.name))
      throw new NotAskedHere({ request: request.name, team: this.#options.team })
    const door = new Publisher<Request>(request)
    this.#doors.set(request.name, door)
    return door
  }

  #deadlineOf(given: Date | Duration | undefined): string | null {
    if (given === undefined) return null
    if (given instanceof Date) return notBeforeText(given)
    const { clock = systemClock } = this.#options
    return new Date(clock.now().getTime() + parseDuration(given, 'ask.deadline')).toISOString()
  }

  /** What travels of an expectation, as JSON text. */
  async #expectation(sql: Queryable, request: Request, key: string, id: string, expect: unknown): Promise<string> {
    if (expect !== 'copy') {
      if (expect === null) return expectation(request, expectedFields(request.name, request.about, expectable(request.about)), 'none')
      const { names, state } = givenState(request.name, expect)
      const fields = expectedFields(request.name, request.about, names)
      return expectation(request, fields, await digestOf(sql, fields, state, id))
    }
    const kept = this.#options.keeps().find(({ entity }) => entity.name === request.entity)
    if (kept === undefined)
      throw new ExpectationUnfit({ request: request.name, problem: `${this.#options.team} keeps no copy of ${request.entity}` })
    const known = expectable(request.about)
    const tenant = request.about.tenantField
    const names = [...kept.fields, ...(tenant === undefined ? [] : [tenant])].filter((name) => known.includes(name))
    const fields = expectedFields(request.name, request.about, names)
    return expectation(request, fields, await digestOf(sql, fields, await copiedState(sql, kept.name, fields, key), id))
  }

  async #await<R extends Request>(
    request: R,
    id: string,
    look: () => Promise<Row>,
    { timeout, signal }: { readonly timeout?: number; readonly signal?: AbortSignal },
  ): Promise<Outcome<R>> {
    const { heard, clock = systemClock } = this.#options
    const until = timeout === undefined ? Number.POSITIVE_INFINITY : clock.monotonic() + timeout
    for (let wait = 10; ; wait = Math.min(500, wait * 1.5)) {
      // Whoever listens before it looks misses nothing.
      const waiting = new AbortController()
      const next = heard.next(id, waiting.signal)
      try {
        const row = await look()
        if (row.outcome !== null) return this.#outcomeOf(request, row)
        signal?.throwIfAborted()
        const left = until - clock.monotonic()
        if (left <= 0) throw new OutcomeOverdue({ id, limit: `${timeout} ms` })
        // Another process may hear it: look again after a while even if this one hears nothing.
        await Promise.race([next, clock.sleep(Math.min(wait, left), signal)])
      } finally {
        waiting.abort()
      }
    }
  }

  #outcomeOf<R extends Request>(request: R, row: Row): Outcome<R> {
    const decidedAt = new Date(row.decided as string)
    if (row.outcome === 'accepted') {
      const version = row.version === null ? undefined : Number(row.version)
      const token = version === undefined ? undefined : { topic: row.entity, key: row.key, version }
      const visible: Accepted['visible'] = (options = {}) => this.#options.waitFor(request, token, options)
      return { state: 'accepted', decidedAt, version, visible }
    }
    if (row.outcome !== 'rejected') return { state: row.outcome as 'expired', decidedAt }
    return { state: 'rejected', decidedAt, reason: row.reason, detail: row.detail === null ? null : JSON.parse(row.detail) } as Outcome<R>
  }
}

function expectation(request: Request, fields: readonly ExpectedField[], digest: string): string {
  return JSON.stringify({ digest, fields: fieldsText(request.name, fields) })
}

function idOf(given: string | undefined): string {
  if (given === undefined) return randomUUID()
  if (typeof given === 'string' && /^[A-Za-z0-9._:-]{1,64}$/.test(given)) return given
  throw new BadOption({ option: 'ask.id', expected: '1 to 64 letters, digits and . _ : -' }, { path: 'ask.id' })
}
