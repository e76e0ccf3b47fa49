import {
  type Contract,
  checkSubscriptionName,
  defaultSubscriptionName,
  type Entity,
  fieldsOn,
  isObject,
  type Request,
  UnknownField,
} from '@comity/contract'
import { identityOf } from '../catalog/contract-check.ts'
import type { Declaration, Handled, HandledOutcome, Kept, Owned } from '../catalog/declaration.ts'
import { BadOption, checkOptions, parseDuration, parseFrequency } from '../foundation/index.ts'
import { FieldNotGranted, ReplicaFieldUnknown } from '../replica/errors.ts'
import type { Lift } from '../subscription/reading.ts'
import { RETRY } from '../subscription/retry-policy.ts'
import type {
  AboutOptions,
  AnswersOptions,
  AsksOptions,
  KeepsOptions,
  OnOptions,
  OwnsOptions,
  RelationOptions,
} from './declared-options.ts'
import {
  AlreadyInUse,
  AnsweredEntityUnowned,
  DeclaredTwice,
  NotAContract,
  NotAnEntity,
  NotARequest,
  NotAVersion,
  NotTheAnswerer,
  NotTheOwner,
  OwnEntityKept,
  OwnRequestAsked,
  TableKeptTwice,
} from './errors.ts'
import { ANSWERS, breakerOf, FLOW, flowOf, functionOf, ON, oneLine, otherTeams, timeoutOf, waitOf, wholeNumber } from './read-options.ts'
import { subsetOf } from './where.ts'
/** Collects what a team declares, checked as it comes; `declaration` freezes it. */
export class Declaring {
  readonly #team: string
  readonly #owns: Owned[] = []
  readonly #publishes: Contract[] = []
  readonly #keeps: Kept[] = []
  readonly #handles: Handled[] = []
  readonly #asks: Request[] = []
  readonly #outcomes: HandledOutcome[] = []
  readonly #answers: Handled<Request>[] = []
  readonly #lifts: Lift[] = []
  #frozen: Declaration | undefined

  readonly #operates: readonly string[]
  readonly #operators: readonly string[]
  readonly #about: AboutOptions

  constructor(team: string, relations: RelationOptions & AboutOptions = {}) {
    this.#team = team
    this.#about = { ...oneLine('version', relations.version, 100), ...oneLine('contact', relations.contact, 200) }
    this.#operates = otherTeams(team, relations.operates, 'team.operates')
    this.#operators = otherTeams(team, relations.operators, 'team.operators')
  }

  get declaration(): Declaration {
    if (this.#frozen === undefined) this.#requireAnswered()
    this.#frozen ??= Object.freeze({
      team: this.#team,
      owns: Object.freeze(this.#owns),
      publishes: Object.freeze(this.#publishes),
      keeps: Object.freeze(this.#keeps),
      handles: Object.freeze(this.#handles),
      asks: Object.freeze(this.#asks),
      outcomes: Object.freeze(this.#outcomes),
      answers: Object.freeze(this.#answers),
      lifts: Object.freeze(this.#lifts),
      operates: this.#operates,
      operators: this.#operators,
      ...this.#about,
    })
    return this.#frozen
  }

  /** Of the handlers' time limits, in milliseconds. */
  get longestHandler(): number {
    return Math.max(0, ...[...this.#handles, ...this.#answers, ...this.#outcomes].map(({ timeout }) => timeout))
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
    // Whoever publishes an entity by code owns it: its copies are filled and compared.
    if (contract.contractKind === 'entity') this.#owns.push({ entity: contract })
    else this.#publishes.push(contract)
  }

  keeps(entity: Entity, options: KeepsOptions<string>): void {
    this.#open()
    checkContract(entity, 'keeps')
    checkOptions(options, ['fields', 'table', 'columns', 'name', 'where', 'audience', 'freshness', ...FLOW], 'keeps')
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
    const sameTable = this.#keeps.find((other) => other.schema === schema && other.table === table)
    if (sameTable) throw new TableKeptTwice({ table: `${schema}.${table}`, name, other: sameTable.name }, { path: 'keeps.table' })
    const where: unknown = options.where ?? {}
    if (!isObject(where)) throw new BadOption({ option: 'keeps.where', expected: 'an object of conditions' }, { path: 'keeps.where' })
    const base = [...entity.keyFields, ...(entity.tenantField === undefined ? [] : [entity.tenantField])]
    this.#keeps.push({
      name,
      entity,
      fields: [...new Set(options.fields)].filter((field) => !base.includes(field)),
      schema,
      table,
      columns: options.columns ?? {},
      flow: flowOf(options, 'keeps'),
      ...(Object.keys(where).length === 0 ? {} : { subset: Object.freeze(subsetOf(entity, where, granted)) }),
      ...(options.freshness === undefined ? {} : { freshness: parseDuration(options.freshness, 'keeps.freshness') }),
      ...(options.audience === undefined ? {} : { audience: options.audience }),
    })
  }

  on(contract: Contract, handle: Handled['handle'], options: OnOptions): void {
    this.#open()
    checkContract(contract, 'on')
    checkOptions(options, ON, 'on')
    const granted = fieldsOn(contract, options.audience)
    for (const field of options.fields ?? [])
      if (!granted.includes(field))
        throw new UnknownField({ contract: contract.name, field, fields: granted.join(', ') }, { path: `on.fields.${field}` })
    this.#handles.push(this.#handled(contract, handle, options, 'on'))
  }

  asks(request: Request, handle: HandledOutcome['handle'] | undefined, options: AsksOptions): void {
    this.#open()
    checkRequest(request, 'asks')
    checkOptions(options, ['timeout'], 'asks')
    if (request.owner === this.#team) throw new OwnRequestAsked({ request: request.name })
    if (this.#asks.some(({ name }) => name === request.name)) throw new DeclaredTwice({ team: this.#team, name: request.name })
    this.#asks.push(request)
    if (handle !== undefined) this.#outcomes.push({ request, handle: functionOf(handle, 'asks'), timeout: timeoutOf(options, 'asks') })
  }

  answers(request: Request, handle: Handled['handle'], options: AnswersOptions): void {
    this.#open()
    checkRequest(request, 'answers')
    checkOptions(options, ANSWERS, 'answers')
    if (request.owner !== this.#team) throw new NotTheAnswerer({ team: this.#team, request: request.name, owner: request.owner })
    this.#answers.push(this.#handled(request, handle, { ...options, batch: 1 }, 'answers'))
  }

  #handled<C extends Contract | Request>(contract: C, handle: Handled['handle'], options: OnOptions, verb: string): Handled<C> {
    return {
      name: this.#subscriptionName(contract, options.name),
      contract,
      handle: functionOf(handle, verb),
      batch: wholeNumber(options.batch ?? 50, `${verb}.batch`),
      timeout: timeoutOf(options, verb),
      retry: {
        attempts: wholeNumber(options.attempts ?? RETRY.attempts, 'on.attempts'),
        wait: waitOf(options.backoff),
        ...(options.decide === undefined ? {} : { decide: options.decide }),
      },
      breaker: breakerOf(options.breaker),
      flow: {
        ...flowOf(options, 'on'),
        ...(options.concurrency === undefined ? {} : { concurrency: wholeNumber(options.concurrency, 'on.concurrency') }),
        ...(options.tenantRate === undefined ? {} : { tenantRate: parseFrequency(options.tenantRate, 'on.tenantRate') }),
      },
      ...(options.audience === undefined ? {} : { audience: options.audience }),
      ...(options.fields === undefined ? {} : { fields: Object.freeze([...new Set(options.fields)]) }),
    }
  }

  /** Who answers for an entity owns it, whichever was declared first. */
  #requireAnswered(): void {
    const owned = [...this.#owns.map(({ entity }) => entity.name), ...this.#publishes.map(({ name }) => name)]
    const unowned = this.#answers.find(({ contract }) => !owned.includes(contract.entity))?.contract
    if (unowned !== undefined) throw new AnsweredEntityUnowned({ team: this.#team, request: unowned.name, entity: unowned.entity })
  }

  lifts(from: Contract, to: Contract, lift: Lift['lift']): void {
    this.#open()
    for (const contract of [from, to]) checkContract(contract, 'lifts')
    if (typeof lift !== 'function') throw new BadOption({ option: 'lifts.lift', expected: 'a function' }, { path: 'lifts.lift' })
    if (from.name !== to.name || identityOf(from) !== identityOf(to))
      throw new NotAVersion({ from: `${from.name}, ${identityOf(from)}`, to: `${to.name}, ${identityOf(to)}` })
    this.#lifts.push({ from, to, lift })
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

  #subscriptionName(contract: Contract | Request, own: string | undefined): string {
    const name = own === undefined ? defaultSubscriptionName(this.#team, contract) : `${this.#team}.${own}`
    checkSubscriptionName(name)
    const names = [...this.#keeps, ...this.#handles, ...this.#answers].map((other) => other.name)
    if (names.includes(name)) throw new DeclaredTwice({ team: this.#team, name })
    return name
  }
}

function checkContract(contract: unknown, verb: string): void {
  const { contractKind, name } = (contract ?? {}) as Partial<Contract>
  if ((contractKind !== 'entity' && contractKind !== 'event') || name === undefined) throw new NotAContract({ verb })
}

function checkRequest(request: unknown, verb: string): void {
  const { contractKind, name } = (request ?? {}) as Partial<Request>
  if (name === undefined) throw new NotAContract({ verb })
  if (contractKind !== 'request') throw new NotARequest({ contract: name, verb })
}

/** `table` (in `public`) or `schema.table`. */
function splitTable(name: string): readonly [schema: string, table: string] {
  const parts = name.split('.')
  const [schema, table] = parts.length === 1 ? ['public', ...parts] : parts
  if (parts.length <= 2 && schema && table) return [schema, table]
  throw new BadOption({ option: 'keeps.table', expected: "'<table>' or '<schema>.<table>'" }, { path: 'keeps.table' })
}
