import { type Contract, type ContractDescription, type Entity, fieldsOn, type Request } from '@comity/contract'
import type { BreakerPolicy } from '../subscription/breaker.ts'
import type { Lift } from '../subscription/reading.ts'
import type { RetryPolicy } from '../subscription/retry-policy.ts'

/** What a team says of itself: frozen, and read by migration, provisioning, the running team and the operator's views alike. */
export interface Declaration {
  readonly team: string
  readonly owns: readonly Owned[]
  readonly publishes: readonly Contract[]
  readonly keeps: readonly Kept[]
  readonly handles: readonly Handled[]
  /** What this team asks of owners. */
  readonly asks: readonly Request[]
  /** What this team does when an owner has decided about what it asked. */
  readonly outcomes: readonly HandledOutcome[]
  /** What other teams may ask of this one. */
  readonly answers: readonly Handled<Request>[]
  /** How this team reads messages of older versions of contracts. */
  readonly lifts: readonly Lift[]
  /** The teams that this one hears and commands. */
  readonly operates: readonly string[]
  /** The teams whose commands this one obeys. */
  readonly operators: readonly string[]
  /** Of the team's own software, as it calls it. */
  readonly version?: string
  /** Whom to ask about the team. */
  readonly contact?: string
}

export interface Owned {
  readonly entity: Entity
  /** The table it is captured from; absent = published by code. */
  readonly table?: string
  /** Field → column, or an SQL expression over one row. */
  readonly columns?: Readonly<Record<string, string | { readonly sql: string }>>
}

/** One condition on a field's value as it is on the wire; `in_subset` of migration 0016 says what each means. */
export interface SubsetCondition {
  readonly field: string
  readonly op: '=' | 'not' | 'in' | '<' | '<=' | '>' | '>='
  readonly value: unknown
  /** How its text is to be compared, where that is not by its bytes. */
  readonly as?: 'date-time' | 'uuid'
}

export interface Kept {
  /** The subscription that feeds it. */
  readonly name: string
  readonly entity: Entity
  /** Declared fields beside key and tenant. */
  readonly fields: readonly string[]
  readonly schema: string
  readonly table: string
  readonly columns: Readonly<Record<string, string>>
  readonly audience?: string
  /** The rows to keep: those for which all of these hold; absent: every row. */
  readonly subset?: readonly SubsetCondition[]
  readonly flow: Flow
  /** How far behind its owner the copy may be, in milliseconds. */
  readonly freshness?: number
}

/** A handler of what owners decide. */
export interface HandledOutcome {
  readonly request: Request
  readonly handle: (outcome: never, context: never) => Promise<void> | void
  /** Milliseconds for one outcome. */
  readonly timeout: number
}

export interface Handled<C extends Contract | Request = Contract> {
  /** The subscription. */
  readonly name: string
  readonly contract: C
  readonly handle: (message: never, context: never) => Promise<void> | void
  readonly audience?: string
  /** The fields that it reads beside key and tenant, and is given; absent: it has not said, and is given all. */
  readonly fields?: readonly string[]
  /** Messages in one transaction, at most. */
  readonly batch: number
  /** Milliseconds for one message. */
  readonly timeout: number
  readonly retry: RetryPolicy
  /** Undefined: no breaker. */
  readonly breaker: BreakerPolicy | undefined
  readonly flow: Flow
}

/** How much of a subscription is taken at once, and how fast; what is undefined is the engine's own choice. */
export interface Flow {
  /** Transactions at once in one process. */
  readonly concurrency?: number | undefined
  readonly prefetch?: number | undefined
  readonly prefetchBytes?: number | undefined
  /** Messages a second. */
  readonly rate?: number | undefined
  readonly tenantRate?: number | undefined
}

/** Every field that a copy's messages must have: key, tenant, what is kept, and what decides whether it is. */
export function fieldsNeeded({ entity, fields, subset = [] }: Kept): readonly string[] {
  const tenant = entity.tenantField === undefined ? [] : [entity.tenantField]
  return [...new Set([...entity.keyFields, ...tenant, ...fields, ...subset.map(({ field }) => field)])]
}

/** What a handler reads of a message that has only the fields that it was granted. */
export function fieldsRead({ contract, fields, audience }: Handled<Contract | Request>): readonly string[] | undefined {
  if (fields === undefined) return audience === undefined ? undefined : fieldsOn(contract, audience)
  const tenant = contract.tenantField === undefined ? [] : [contract.tenantField]
  return [...new Set([...contract.keyFields, ...tenant, ...fields])]
}

/** Every contract that this team may publish. */
export function contractsPublishedBy(declaration: Declaration): readonly ContractDescription[] {
  return [...declaration.owns.map(({ entity }) => entity), ...declaration.publishes]
}

/** Every subscription of this team. */
export function subscriptionsOf(declaration: Declaration): readonly {
  readonly name: string
  readonly contract: ContractDescription
  readonly kind: 'handler' | 'replica'
  readonly audience?: string
}[] {
  return [
    ...declaration.keeps.map(({ name, entity, audience }) => ({
      name,
      contract: entity,
      kind: 'replica' as const,
      ...(audience === undefined ? {} : { audience }),
    })),
    ...[...declaration.handles, ...declaration.answers].map(({ name, contract, audience }) => ({
      name,
      contract,
      kind: 'handler' as const,
      ...(audience === undefined ? {} : { audience }),
    })),
  ]
}

/** An environment's prefix for everything that is named at the broker. */
export function inNamespace(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}.${name}`
}
