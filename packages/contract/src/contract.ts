import type { JsonSchema, JsonValue } from './json-schema.ts'
import type { SchemaSource, StandardJsonSchema } from './standard-schema.ts'

/**
 * A contract as plain JSON: what `comity migrate` registers in the database, and what teams declare to each other.
 * Every {@link Contract} is one; `describe` gives it without the types.
 */
export interface ContractDescription {
  readonly contractKind: 'entity' | 'event' | 'request'
  readonly name: string
  /** The team that alone may publish it. */
  readonly owner: string
  /** Of an entity that has changed hands: the teams that owned it before, the first one first. */
  readonly former?: readonly string[]
  readonly keyFields: readonly string[]
  readonly tenantField?: string
  /** JSON Schema, draft 2020-12: local, finite, open (unknown fields are ignored). */
  readonly schema: JsonSchema
  /** The names of the top-level fields. */
  readonly fields: readonly string[]
  /** Events of one key are published in commit order even from concurrent transactions. Entities always are. */
  readonly ordered: boolean
  /** Audience → the fields it is granted. Empty: everything goes to everyone on one topic. */
  readonly audiences: Readonly<Record<string, readonly string[]>>
  /** Whom to ask about it. */
  readonly contact?: string
  /** Of a request: the entity that it is about. */
  readonly entity?: string
  /** Of a request: reason of a rejection → the schema of what is said with it; null: nothing is. */
  readonly rejects?: Readonly<Record<string, JsonSchema | null>>
  /** What its owner will stop sending, and when. */
  readonly deprecated?: Deprecation
}

/** Days (`2027-01-31`) from which something may no longer be sent. */
export interface Deprecation {
  /** The whole contract. */
  readonly from?: string
  /** Field → day. */
  readonly fields: Readonly<Record<string, string>>
}

/** State that one team owns; its topic carries *created / updated / deleted* with the full contract state. */
export interface Entity<Name extends string = string, State = unknown, Key extends string = string, Tenant extends string = string>
  extends ContractDescription {
  readonly contractKind: 'entity'
  readonly name: Name
  readonly keyFields: readonly Key[]
  /** Only for the compiler; never there at run time. */
  readonly '~types'?: { readonly data: State; readonly key: Key; readonly tenant: Tenant }
}

/** A fact. */
export interface Event<Name extends string = string, Data = unknown, Key extends string = string, Tenant extends string = string>
  extends ContractDescription {
  readonly contractKind: 'event'
  readonly name: Name
  readonly keyFields: readonly Key[]
  /** Only for the compiler; never there at run time. */
  readonly '~types'?: { readonly data: Data; readonly key: Key; readonly tenant: Tenant }
}

/** A wish addressed to the owner of an entity, who answers it once. */
export interface Request<
  Name extends string = string,
  Data = unknown,
  Key extends string = string,
  Tenant extends string = string,
  Rejects = unknown,
  State = unknown,
> extends ContractDescription {
  readonly contractKind: 'request'
  readonly name: Name
  readonly keyFields: readonly Key[]
  readonly entity: string
  /** The entity's contract; no part of the description. */
  readonly about: Entity
  readonly rejects: Readonly<Record<string, JsonSchema | null>>
  /** Only for the compiler; never there at run time. */
  readonly '~types'?: { readonly data: Data; readonly key: Key; readonly tenant: Tenant; readonly rejects: Rejects; readonly about: State }
}

/** What a team publishes. */
export type Contract = Entity | Event

/** What is on the wire for a contract: an entity's state, an event's or a request's data. */
export type DataOf<C extends Contract | Request> = C extends { readonly '~types'?: { readonly data: infer Data } } ? Data : never
/** The state of an entity. */
export type StateOf<E extends Entity> = DataOf<E>
/** The reasons for which a request may be rejected, each with what is said with it. */
export type RejectsOf<R extends Request> = R extends { readonly '~types'?: { readonly rejects: infer Rejects } } ? Rejects : never
/** The state of the entity that a request is about. */
export type AboutOf<R extends Request> = R extends { readonly '~types'?: { readonly about: infer State } } ? State : never
/** The names of a contract's top-level fields. */
export type FieldOf<C extends Contract> = FieldName<DataOf<C>>

type KeyFieldOf<C extends Contract> = C extends { readonly '~types'?: { readonly key: infer Key } } ? Key : never
type TenantFieldOf<C extends Contract> = C extends { readonly '~types'?: { readonly tenant: infer Tenant } } ? Tenant : never

/**
 * One row of a replica: the key's fields, the tenant's, and the declared ones. A field that may be missing
 * on the wire is `null` in a row.
 *
 * @example type Row = ReplicaRow<typeof Customer, 'email' | 'name'> // { id: string; agencyId: string; email: string; name: string }
 */
export type ReplicaRow<E extends Entity, Field extends FieldOf<E>> = RowOf<
  StateOf<E>,
  Extract<KeyFieldOf<E> | TenantFieldOf<E> | Field, string>
>
type RowOf<State, Field extends string> = {
  [F in Field]: F extends keyof State ? (undefined extends State[F] ? Exclude<State[F], undefined> | null : State[F]) : JsonValue
}

/** What a schema describes; plain JSON Schema without `jsonSchema<T>()` says nothing to the compiler. */
export type DataOfSchema<S extends SchemaSource> =
  S extends StandardJsonSchema<infer _Input, infer Output> ? Output : Record<string, JsonValue>

type Declared<Data> = { [F in keyof Data as string extends F ? never : F extends string ? F : never]: Data[F] }
/** The names that a type declares; any string where it declares none. */
export type FieldName<Data> = [keyof Declared<Data>] extends [never] ? string : Extract<keyof Declared<Data>, string>
/** The names of the fields that can be a key or a tenant: required strings and numbers. */
export type KeyFieldName<Data> = [keyof Declared<Data>] extends [never]
  ? string
  : { [F in keyof Declared<Data>]-?: Declared<Data>[F] extends string | number ? Extract<F, string> : never }[keyof Declared<Data>]
