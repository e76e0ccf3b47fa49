import { buildContract } from './build-contract.ts'
import type { DataOfSchema, Entity, KeyFieldName, Request, StateOf } from './contract.ts'
import { InvalidContract } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'
import { isObject } from './json-schema.ts'
import { checkSegment } from './names.ts'
import { readSchema } from './read-schema.ts'
import type { SchemaSource } from './standard-schema.ts'

export interface RequestOptions<
  Schema extends SchemaSource,
  Key extends string,
  Tenant extends string,
  Rejects extends Readonly<Record<string, SchemaSource | null>>,
  About extends Entity = Entity,
> {
  /** What the request is about: an entity of the team that is asked. */
  readonly entity: About
  /** The field, or fields, that hold the entity's key. Requests about one key are decided in order. */
  readonly key: Key | readonly Key[]
  /** The field that says whose data it is. */
  readonly tenant?: Tenant
  /** What is on the wire: zod, any other Standard JSON Schema, `jsonSchema<T>({…})`, or plain JSON Schema. */
  readonly data: Schema
  /** Why the owner may say no: reason → what it says with it, or null where the reason says all. */
  readonly rejects?: Rejects
  /** Whom to ask about it. */
  readonly contact?: string
}

/** Reasons that the engine gives: what is expected is no longer so; an operator of the owner has discarded the request. */
export const ENGINE_REASONS = ['conflict', 'discarded'] as const

/**
 * Declares a wish that other teams address to the owner of an entity, who answers it once.
 *
 * @example
 * export const ChangeCustomerEmail = request('crm.change-customer-email', {
 *   entity: Customer, key: 'customerId', tenant: 'agencyId',
 *   data: z.object({ customerId: z.string(), agencyId: z.string(), email: z.email() }),
 *   rejects: { 'email-taken': z.object({ by: z.string() }), 'customer-closed': null },
 * })
 */
export function request<
  const Name extends string,
  Schema extends SchemaSource,
  const Key extends KeyFieldName<DataOfSchema<Schema>>,
  const Tenant extends KeyFieldName<DataOfSchema<Schema>> = never,
  const Rejects extends Readonly<Record<string, SchemaSource | null>> = Readonly<Record<never, null>>,
  About extends Entity = Entity,
>(
  name: Name,
  options: RequestOptions<Schema, Key, Tenant, Rejects, About>,
): Request<
  Name,
  DataOfSchema<Schema>,
  Key,
  Tenant,
  { [Reason in keyof Rejects & string]: DetailOfSchema<Rejects[Reason]> },
  StateOf<About>
> {
  const contract = buildContract('request', name, options, 'data')
  const { entity } = options
  if (!isObject(entity) || entity.contractKind !== 'entity')
    throw new InvalidContract({
      contract: name,
      problem: 'is about no entity',
      advice: 'name the entity whose owner is asked: entity: Customer',
    })
  if (entity.owner !== contract.owner)
    throw new InvalidContract({
      contract: name,
      problem: `is addressed to ${contract.owner}, and ${entity.name} belongs to ${entity.owner}`,
      advice: `call it "${entity.owner}.<thing>": only the owner of an entity decides about it`,
    })
  if (entity.keyFields.length !== contract.keyFields.length)
    throw new InvalidContract({
      contract: name,
      problem: `has ${contract.keyFields.length} key fields, and ${entity.name} has ${entity.keyFields.length}`,
      advice: "name the fields that hold the entity's key, in its order",
    })
  return Object.freeze({ ...contract, entity: entity.name, about: entity, rejects: readRejects(name, options.rejects ?? {}) }) as never
}

type DetailOfSchema<S> = S extends null ? null : S extends SchemaSource ? DataOfSchema<S> : never

function readRejects(contract: string, given: Readonly<Record<string, SchemaSource | null>>): Readonly<Record<string, JsonSchema | null>> {
  if (!isObject(given))
    throw new InvalidContract({ contract, problem: 'has no reasons in its `rejects`', advice: "write { 'email-taken': z.object({ … }) }" })
  const read: Record<string, JsonSchema | null> = {}
  for (const [reason, schema] of Object.entries(given)) {
    checkSegment('reason', reason)
    if ((ENGINE_REASONS as readonly string[]).includes(reason))
      throw new InvalidContract({
        contract,
        problem: `declares the reason ${reason}, which the engine gives by itself`,
        advice: 'give your own reason another name',
      })
    read[reason] = schema === null ? null : readSchema(`${contract}, reason ${reason}`, schema, 'data')
  }
  return Object.freeze(read)
}
