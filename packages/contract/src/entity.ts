import { buildContract } from './build-contract.ts'
import type { DataOfSchema, Entity, FieldName, KeyFieldName } from './contract.ts'
import type { SchemaSource } from './standard-schema.ts'

export interface EntityOptions<Schema extends SchemaSource, Key extends string, Tenant extends string> {
  /** The field, or fields, that identify one entity; they order its changes. */
  readonly key: Key | readonly Key[]
  /** The field that says whose data it is. */
  readonly tenant?: Tenant
  /** What is on the wire: zod, any other Standard JSON Schema, `jsonSchema<T>({…})`, or plain JSON Schema. */
  readonly state: Schema
  /** The team that owns it. Default: the name's part before the first dot. */
  readonly owner?: string
  /** The teams that owned it before (`comity hand-over`), the first one first: what they sent is still theirs. */
  readonly former?: readonly string[]
  /** Audience → the fields it is granted, beside key and tenant; each audience has a topic of its own. Default: one topic for all. */
  readonly audiences?: Readonly<Record<string, readonly FieldName<DataOfSchema<Schema>>[]>>
  /** Whom to ask about it. */
  readonly contact?: string
  /**
   * The day (`'2027-01-31'`) from which it, or each of these fields, may no longer be sent: `{ phone: '2027-01-31' }`. Readers are told;
   * nothing ends by itself.
   */
  readonly deprecated?: string | Readonly<Partial<Record<FieldName<DataOfSchema<Schema>>, string>>>
}

/**
 * Declares state that one team owns and others may keep copies of.
 *
 * @example
 * export const Customer = entity('crm.customer', {
 *   key: 'id', tenant: 'agencyId',
 *   state: z.object({ id: z.string(), agencyId: z.string(), email: z.email(), name: z.string() }),
 * })
 */
export function entity<
  const Name extends string,
  Schema extends SchemaSource,
  const Key extends KeyFieldName<DataOfSchema<Schema>>,
  const Tenant extends KeyFieldName<DataOfSchema<Schema>> = never,
>(name: Name, options: EntityOptions<Schema, Key, Tenant>): Entity<Name, DataOfSchema<Schema>, Key, Tenant> {
  return buildContract('entity', name, options, 'state') as Entity<Name, DataOfSchema<Schema>, Key, Tenant>
}
