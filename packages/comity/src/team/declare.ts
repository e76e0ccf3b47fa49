import { type Contract, checkSubscriptionName, defaultSubscriptionName, type Entity, fieldsOn } from '@comity/contract'
import type { Declaration, Handled, Kept, Owned } from '../catalog/declaration.ts'
import { BadOption, checkOptions, type Duration, parseDuration } from '../foundation/index.ts'
import { FieldNotGranted, ReplicaFieldUnknown } from '../replica/errors.ts'
import { AlreadyInUse, DeclaredTwice, NotAContract, NotAnEntity, NotTheOwner, OwnEntityKept } from './errors.ts'

export interface OwnsOptions {
  /** An existing table; every committed change of it is announced. Without it the entity is published by code. */
  readonly table?: string
  /** Field → column, or `{ sql }` over one row of the table, where the names differ. */
  readonly columns?: Readonly<Record<string, string | { readonly sql: string }>>
}
export interface KeepsOptions<Field extends string> {
  /** The fields to keep, beside key and tenant. */
  readonly fields: readonly Field[]
  /** The copy's table, `schema.table` or `table` (in `public`). Default: the entity's name in snake_case. */
  readonly table?: string
  /** Field → column, where another name than the snake_case one is wanted. */
  readonly columns?: Readonly<Record<string, string>>
  /** The subscription's own name after the team's. Default: the entity's name. */
  readonly name?: string
  readonly audience?: string
  /** How far behind its owner the copy may be: an objective, for status, metrics and alerts. */
  readonly freshness?: Duration
}
export interface OnOptions {
  /** The subscription's own name after the team's. Default: the contract's name. */
  readonly name?: string
  readonly audience?: string
  /** Messages in one transaction, at most. Default 50. */
  readonly batch?: number
  /** For one message. Default '10s'. With a database of your own library, give the adapter a `sessionTimeout` above it. */
  readonly timeout?: Duration
  /** Tries in place before the message waits in its key's line. Default 5. */
  readonly attempts?: number
}

/** Collects what a team declares, checked as it comes; `declaration` freezes it. */
export class Declaring {
  readonly #team: string
  readonly #owns: Owned[] = []
  readonly #publishes: Contract[] = []
  readonly #keeps: Kept[] = []
  readonly #handles: Handled[] = []
  #frozen: Declaration | undefined

  constructor(team: string) {
    this.#team = team
  }

  get declaration(): Declaration {
    this.#frozen ??= Object.freeze({
      team: this.#team,
      owns: Object.freeze(this.#owns),
      publishes: Object.freeze(this.#publishes),
      keeps: Object.freeze(this.#keeps),
      handles: Object.freeze(this.#handles),
    })
    return this.#frozen
  }

  /** Of the handlers' time limits, in milliseconds. */
  get longestHandler(): number {
    return Math.max(0, ...this.#handles.map(({ timeout }) => timeout))
  }

  owns(entity: Entity, options: OwnsOptions): void {
    this.#open()
    checkContract(entity, 'owns')
    checkOptions(options, ['table', 'columns'], 'owns')
    if (entity.contractKind !== 'entity') throw new NotAnEntity({ contract: (entity as Contract).name, verb: 'owns' })
    this.#publishable(entity)
    this.#owns.push({ entity, ...options })
  }

  publishes(contract: Contract): void {
    this.#open()
    checkContract(contract, 'publishes')
    this.#publishable(contract)
    this.#publishes.push(contract)
  }

  keeps(entity: Entity, options: KeepsOptions<string>): void {
    this.#open()
    checkContract(entity, 'keeps')
    checkOptions(options, ['fields', 'table', 'columns', 'name', 'audience', 'freshness'], 'keeps')
    if (entity.contractKind !== 'entity') throw new NotAnEntity({ contract: (entity as Contract).name, verb: 'keeps' })
    if (entity.owner === this.#team) throw new OwnEntityKept({ entity: entity.name })
    if (!Array.isArray(options.fields))
      throw new BadOption({ option: 'keeps.fields', expected: 'a list of fields' }, { path: 'keeps.fields' })
    const granted = fieldsOn(entity, options.audience)
    for (const field of [...options.fields, ...Object.keys(options.columns ?? {})]) {
      if (!entity.fields.includes(field))
        throw new ReplicaFieldUnknown({ entity: entity.name, field, fields: granted.join(', ') }, { path: `fields.${field}` })
      if (!granted.includes(field))
        throw new FieldNotGranted(
          { entity: entity.name, field, audience: options.audience as string, fields: granted.join(', '), owner: entity.owner },
          { path: `fields.${field}` },
        )
    }
    const name = this.#subscriptionName(entity, options.name)
    const [schema, table] = splitTable(options.table ?? entity.name.replace(/[^a-z0-9]+/g, '_'))
    const base = [...entity.keyFields, ...(entity.tenantField === undefined ? [] : [entity.tenantField])]
    this.#keeps.push({
      name,
      entity,
      fields: [...new Set(options.fields)].filter((field) => !base.includes(field)),
      schema,
      table,
      columns: options.columns ?? {},
      ...(options.freshness === undefined ? {} : { freshness: parseDuration(options.freshness, 'keeps.freshness') }),
      ...(options.audience === undefined ? {} : { audience: options.audience }),
    })
  }

  on(contract: Contract, handle: Handled['handle'], options: OnOptions): void {
    this.#open()
    checkContract(contract, 'on')
    checkOptions(options, ['name', 'audience', 'batch', 'timeout', 'attempts'], 'on')
    fieldsOn(contract, options.audience)
    if (typeof handle !== 'function') throw new BadOption({ option: 'on.handle', expected: 'a function' }, { path: 'on.handle' })
    const timeout = parseDuration(options.timeout ?? '10s', 'on.timeout')
    if (!(timeout >= 1)) throw new BadOption({ option: 'on.timeout', expected: "at least '1ms'" }, { path: 'on.timeout' })
    this.#handles.push({
      name: this.#subscriptionName(contract, options.name),
      contract,
      handle,
      batch: wholeNumber(options.batch ?? 50, 'on.batch'),
      timeout,
      attempts: wholeNumber(options.attempts ?? 5, 'on.attempts'),
      ...(options.audience === undefined ? {} : { audience: options.audience }),
    })
  }

  #open(): void {
    if (this.#frozen) throw new AlreadyInUse({ team: this.#team })
  }

  #publishable(contract: Contract): void {
    if (contract.owner !== this.#team) throw new NotTheOwner({ team: this.#team, contract: contract.name, owner: contract.owner })
    if ([...this.#owns.map(({ entity }) => entity), ...this.#publishes].some((other) => other.name === contract.name)) {
      throw new DeclaredTwice({ team: this.#team, name: contract.name })
    }
  }

  #subscriptionName(contract: Contract, own: string | undefined): string {
    const name = own === undefined ? defaultSubscriptionName(this.#team, contract) : `${this.#team}.${own}`
    checkSubscriptionName(name)
    const names = [...this.#keeps, ...this.#handles].map((other) => other.name)
    if (names.includes(name)) throw new DeclaredTwice({ team: this.#team, name })
    return name
  }
}

function checkContract(contract: unknown, verb: string): void {
  const { contractKind, name } = (contract ?? {}) as Partial<Contract>
  if ((contractKind !== 'entity' && contractKind !== 'event') || name === undefined) throw new NotAContract({ verb })
}

function wholeNumber(value: number, option: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new BadOption({ option, expected: 'a whole number from 1' }, { path: option })
}

/** `table` (in `public`) or `schema.table`. */
function splitTable(name: string): readonly [schema: string, table: string] {
  const parts = name.split('.')
  const [schema, table] = parts.length === 1 ? ['public', ...parts] : parts
  if (parts.length <= 2 && schema && table) return [schema, table]
  throw new BadOption({ option: 'keeps.table', expected: "'<table>' or '<schema>.<table>'" }, { path: 'keeps.table' })
}
