import { type Contract, type ContractDescription, type DataOf, keyOf, type Request, tenantOf } from '@comity/contract'
import { BadOption, checkOptions } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Queryable } from '../postgres/database.ts'
import { compile, guardJson, guardSize, knownFields, type Validator } from '../schema/index.ts'
import { inCreation } from './creation.ts'
import { EntityForLater, InvalidData, NothingPublished, translateSqlError } from './errors.ts'
import { notBeforeText } from './not-before.ts'

export interface PublishOptions {
  /** Entities only: announce that the key is gone. The data is its last state, or just its key fields. */
  readonly deleted?: boolean
  /** W3C trace context to travel with the message. Default: that of the active OpenTelemetry span. */
  readonly traceparent?: string
  /** Largest JSON text in bytes. Default 1 MiB; never above 8 MiB. */
  readonly maxBytes?: number
  /**
   * Events only: wait until then, by the clock of the database; within ten years. A time with its zone, as a Date or in RFC 3339
   * (microseconds count). What has passed means at once.
   */
  readonly notBefore?: Date | string
}

/** One thing to publish, checked: nothing about it can be refused later but by the database itself. */
export interface Checked {
  readonly key: string
  readonly tenant: string | undefined
  readonly text: string | undefined
}

const PUBLISH = `
  select comity.publish($1::text, $2::text, $3::text, $4::text, $5::text, $6::text, true)::text as version`
const PUBLISH_LATER = `
  select comity.publish($1::text, $2::text, $7::text::timestamptz, $3::text, $4::text, $5::text, $6::text, true)::text as version`
const PUBLISH_MANY = `
  select array_to_json(comity.publish_many($1::text, $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], true))::text as versions`
const PUBLISH_MANY_LATER = `
  select array_to_json(comity.publish_many($1::text, $2::text::text[], $3::text::text[], $4::text::text[], $5::text::text[], $6::text::text[], true, $7::text::timestamptz))::text as versions`
const CANCEL = 'select comity.cancel_scheduled($1::text, $2::text) as cancelled'

/**
 * The publishing door of one contract: validates, and writes to the outbox in the caller's transaction, in one SQL call.
 * Bad data is refused with a typed error that names path and remedy, and nothing is stored.
 */
export class Publisher<C extends Contract | Request> {
  readonly #contract: ContractDescription
  readonly #validator: Validator
  readonly #known: (data: Record<string, unknown>) => Record<string, unknown>

  constructor(contract: C) {
    this.#contract = contract
    this.#validator = compile(contract.schema)
    this.#known = knownFields(contract.schema) as (data: Record<string, unknown>) => Record<string, unknown>
  }

  /** @returns the version drawn; 0 for the deletion of a key that was never published, and for what waits: it has none yet */
  async publish(sql: Queryable, data: DataOf<C>, options: PublishOptions = {}): Promise<number> {
    const { name } = this.#contract
    checkPublishOptions(options)
    const later = this.#later(options)
    const { key, tenant, text } = this.check(data, options)
    const kind = options.deleted ? 'deleted' : null
    return inCreation({ topic: name, traceparent: options.traceparent, count: 1 }, async (traceparent) => {
      try {
        const values = [name, text ?? null, kind, headersOf(traceparent) ?? null, key, tenant ?? null, ...later]
        const { rows } = await sql.query<{ version: string }>(later.length === 0 ? PUBLISH : PUBLISH_LATER, values)
        return Number(rows[0]?.version)
      } catch (error) {
        throw translateSqlError(error, name)
      }
    })
  }

  /**
   * Many in one call. Of several states of one key only the last is announced, and two calls never deadlock.
   * @returns the versions in the order given; 0 for a state that a later one in the same call superseded, and for what waits
   */
  async publishMany(sql: Queryable, many: readonly DataOf<C>[], options: PublishOptions = {}): Promise<readonly number[]> {
    if (many.length === 0) return []
    const { name } = this.#contract
    checkPublishOptions(options)
    const later = this.#later(options)
    const checked = many.map((data) => this.check(data, options))
    return inCreation({ topic: name, traceparent: options.traceparent, count: many.length }, async (traceparent) => {
      const headers = headersOf(traceparent)
      try {
        const { rows } = await sql.query<{ versions: string }>(later.length === 0 ? PUBLISH_MANY : PUBLISH_MANY_LATER, [
          name,
          arrayLiteral(checked.map(({ text }) => text)),
          arrayLiteral(checked.map(() => (options.deleted ? 'deleted' : undefined))),
          arrayLiteral(checked.map(() => headers)),
          arrayLiteral(checked.map(({ key }) => key)),
          arrayLiteral(checked.map(({ tenant }) => tenant)),
          ...later,
        ])
        return JSON.parse((rows[0] as { versions: string }).versions)
      } catch (error) {
        throw translateSqlError(error, name)
      }
    })
  }

  /** Cancels what waits for a key. @returns how many; what has been moved to the outbox is an event, and can't be cancelled */
  async cancelScheduled(sql: Queryable, key: string): Promise<number> {
    const { name } = this.#contract
    try {
      return Number((await sql.query<{ cancelled: number }>(CANCEL, [name, key])).rows[0]?.cancelled)
    } catch (error) {
      throw translateSqlError(error, name)
    }
  }

  /** The parameter that makes a publication one for later; none for one at once. */
  #later({ notBefore }: PublishOptions): readonly string[] {
    if (notBefore === undefined) return []
    if (this.#contract.contractKind === 'entity') throw new EntityForLater({ entity: this.#contract.name })
    return [notBeforeText(notBefore)]
  }

  /** The door by itself: throws what `publish` would throw before it asks the database. */
  check(data: DataOf<C>, options: PublishOptions = {}): Checked {
    const contract = this.#contract
    guardJson(data)
    const key = keyOf(contract, data)
    if (options.deleted) {
      const hasTenant = contract.tenantField !== undefined && (data as Record<string, unknown>)[contract.tenantField] !== undefined
      return { key, tenant: hasTenant ? tenantOf(contract, data) : undefined, text: undefined }
    }
    const known = this.#known(data as Record<string, unknown>)
    const problem = this.#validator.validate(known)
    if (problem !== undefined) throw new InvalidData({ contract: contract.name, problem: problem.message }, { path: problem.path })
    const text = JSON.stringify(known)
    guardSize(text, options.maxBytes)
    return { key, tenant: tenantOf(contract, data), text }
  }
}

/** `{ topic, key, version }` of what this transaction published for a key: "at least this". */
export async function tokenOf(
  sql: Queryable,
  contract: ContractDescription,
  key: string,
): Promise<{ topic: string; key: string; version: number }> {
  const topic = contract.name
  const { rows } = await sql.query<{ version: string | null }>('select comity.token($1::text, $2::text)::text as version', [topic, key])
  const version = rows[0]?.version
  if (version === null || version === undefined) throw new NothingPublished({ topic, key })
  return { topic, key, version: Number(version) }
}

function checkPublishOptions(options: PublishOptions): void {
  checkOptions(options, ['deleted', 'traceparent', 'maxBytes', 'notBefore'], 'publish')
  checkTraceparent(options.traceparent)
}

/** Throws COMITY_BAD_OPTION. */
export function checkTraceparent(traceparent: string | undefined): void {
  if (traceparent === undefined) return
  // What no envelope can hold would be found out only by the relay.
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) {
    throw new BadOption(
      { option: 'publish.traceparent', expected: "W3C's form: 00-<32 hex digits>-<16 hex digits>-<2 hex digits>" },
      { path: 'publish.traceparent' },
    )
  }
}

/** The headers of what is published, as JSON text. */
export function headersOf(traceparent: string | undefined): string | undefined {
  return traceparent === undefined ? undefined : JSON.stringify({ traceparent })
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/
