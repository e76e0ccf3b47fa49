import { buildContract } from './build-contract.ts'
import type { DataOfSchema, Event, FieldName, KeyFieldName } from './contract.ts'
import type { SchemaSource } from './standard-schema.ts'

export interface EventOptions<Schema extends SchemaSource, Key extends string, Tenant extends string> {
  /** The field, or fields, whose events keep their order. */
  readonly key: Key | readonly Key[]
  /** The field that says whose data it is. */
  readonly tenant?: Tenant
  /** What is on the wire: zod, any other Standard JSON Schema, `jsonSchema<T>({…})`, or plain JSON Schema. */
  readonly data: Schema
  /** Publishing locks the key, so that even concurrent transactions publish in commit order. Default: false. */
  readonly ordered?: boolean
  /** The team that publishes it. Default: the name's part before the first dot. */
  readonly owner?: string
  /** Whom to ask about it. */
  readonly contact?: string
  /**
   * The day (`'2027-01-31'`) from which it, or each of these fields, may no longer be sent: `{ phone: '2027-01-31' }`. Readers are told;
   * nothing ends by itself.
   */
  readonly deprecated?: string | Readonly<Partial<Record<FieldName<DataOfSchema<Schema>>, string>>>
}

/**
 * Declares a fact that one team announces.
 *
 * @example
 * export const EmailSent = event('marketing.email-sent', {
 *   key: 'customerId', tenant: 'agencyId',
 *   data: z.object({ customerId: z.string(), agencyId: z.string(), campaignId: z.string() }),
 * })
 */
export function event<
  const Name extends string,
  Schema extends SchemaSource,
  const Key extends KeyFieldName<DataOfSchema<Schema>>,
  const Tenant extends KeyFieldName<DataOfSchema<Schema>> = never,
>(name: Name, options: EventOptions<Schema, Key, Tenant>): Event<Name, DataOfSchema<Schema>, Key, Tenant> {
  return buildContract('event', name, options, 'data') as Event<Name, DataOfSchema<Schema>, Key, Tenant>
}
