import {
  type Contract,
  checkSubscriptionName,
  checkTeamName,
  defaultSubscriptionName,
  type Entity,
  fieldsOn,
  isObject,
  type Request,
  UnknownField,
} from '@comity/contract'
import { identityOf } from '../catalog/contract-check.ts'
import type { Declaration, Flow, Handled, HandledOutcome, Kept, Owned } from '../catalog/declaration.ts'
import { BadOption, checkOptions, type Duration, type Frequency, parseDuration, parseFrequency } from '../foundation/index.ts'
import { FieldNotGranted, ReplicaFieldUnknown } from '../replica/errors.ts'
import { BREAKER, type BreakerPolicy } from '../subscription/breaker.ts'
import type { Decision } from '../subscription/failure.ts'
import type { Lift } from '../subscription/reading.ts'
import { RETRY } from '../subscription/retry-policy.ts'
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
import { subsetOf, type Where } from './where.ts'

export interface OwnsOptions {
  /** An existing table; every committed change of it is announced. Without it the entity is published by code. */
  readonly table?: string
  /** Field → column, or `{ sql }` over one row of the table, where the names differ. */
  readonly columns?: Readonly<Record<string, string | { readonly sql: string }>>
}
/** How much of a subscription is taken at once, and how fast. */
export interface FlowOptions {
  /** Most messages delivered and not ended, in one process. Default 1000 for a handler, 8000 for a copy. */
  readonly prefetch?: number
  /** Most bytes of them. Default 64 MiB. */
  readonly prefetchBytes?: number
  /** Most messages of all processes together, e.g. `'50/s'`: for what a handler calls. Default: no limit. */
  readonly rate?: Frequency
}
export interface KeepsOptions<Field extends string, State = unknown> extends FlowOptions {
  /** The fields to keep, beside key and tenant. */
  readonly fields: readonly Field[]
  /** The copy's table, `schema.table` or `table` (in `public`). Default: the entity's name in snake_case. */
  readonly table?: string
  /** Field → column, where another name than the snake_case one is wanted. */
  readonly columns?: Readonly<Record<string, string>>
  /** Keep only rows of which this holds, by any published field, kept or not: rows come and go as it begins and ceases to hold. Default: all. */
  readonly where?: Where<State>
  /** The subscription's own name after the team's. Default: the entity's name. */
  readonly name?: string
  readonly audience?: string
  /** How far behind its owner the copy may be: an objective, for status, metrics and alerts. */
  readonly freshness?: Duration
}
export interface OnOptions<Field extends string = string> extends FlowOptions {
  /**
   * The fields that the handler reads, beside key and tenant: it is given these and no others, and only these are held against the contract. So the
   * owner knows that it may change all others. Default: all.
   */
  readonly fields?: readonly Field[]
  /** The subscription's own name after the team's. Default: the contract's name. */
  readonly name?: string
  readonly audience?: string
  /** Messages in one transaction, at most. Default 50. */
  readonly batch?: number
  /** For one message. Default '10s'. With a database of your own library, give the adapter a `sessionTimeout` above it. */
  readonly timeout?: Duration
  /** Tries in place before the message waits in its key's line. Default 5. */
  readonly attempts?: number
  /** Bounds of the wait between two tries: it doubles, with full jitter. Default `{ min: '200ms', max: '8s' }`. */
  readonly backoff?: { readonly min: Duration; readonly max: Duration }
  /**
   * What an error means: `permanent` = park at once, `not-yet` = wait and try again without end, `transient` = try again, then park.
   * undefined leaves it to the rules: PermanentError, NotYetError, anything else is transient.
   */
  readonly decide?: (error: unknown, attempt: number) => Decision
  /** When too much fails, the subscription pauses and tries by itself. Default: more than 20 % of at least 100 messages in 30 s. */
  readonly breaker?: false | { readonly share?: number; readonly atLeast?: number; readonly window?: Duration }
  /** Its transactions at once in one process. Default: the team's `concurrency`, less one while there are other subscriptions. */
  readonly concurrency?: number
  /** Most messages of one tenant; the others of it wait in the lines of their keys. Default: no limit. */
  readonly tenantRate?: Frequency
}

/** Requests are decided one by one, under the name that their askers know: the rest is as for every handler. */
export type AnswersOptions = Omit<OnOptions, 'name' | 'audience' | 'batch'>

/** How outcomes are handled. */
export type AsksOptions = Pick<OnOptions, 'timeout'>

export interface RelationOptions {
  /** Teams that this one operates: it hears their heartbeats and declarations, and may command them where they name it in `operators`. */
  readonly operates?: readonly string[]
  /** Teams whose commands this one obeys. Default: none. */
  readonly operators?: readonly string[]
}

export interface AboutOptions {
  /** Of the team's own software, e.g. what its pipeline built: shown to every other team in the catalog. */
  readonly version?: string
  /** Whom to ask about the team: a channel, a page, an address of the team's. Every other team can read it. */
  readonly contact?: string
}

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
    this.#about = { ...line('version', relations.version, 100), ...line('contact', relations.contact, 200) }
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
    this.#publishes.push(contract)
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

function functionOf<Given>(handle: Given, verb: string): Given {
  if (typeof handle === 'function') return handle
  throw new BadOption({ option: `${verb}.handle`, expected: 'a function' }, { path: `${verb}.handle` })
}

function timeoutOf({ timeout: given = '10s' }: Pick<OnOptions, 'timeout'>, verb: string): number {
  const timeout = parseDuration(given, `${verb}.timeout`)
  if (timeout >= 1) return timeout
  throw new BadOption({ option: `${verb}.timeout`, expected: "at least '1ms'" }, { path: `${verb}.timeout` })
}

const FLOW = ['prefetch', 'prefetchBytes', 'rate']
const ON = [
  'name',
  'fields',
  'audience',
  'batch',
  'timeout',
  'attempts',
  'backoff',
  'decide',
  'breaker',
  'concurrency',
  'tenantRate',
  ...FLOW,
]
const ANSWERS = ON.filter((option) => !['name', 'fields', 'audience', 'batch'].includes(option))

function flowOf({ prefetch, prefetchBytes, rate }: FlowOptions, verb: string): Flow {
  return {
    ...(prefetch === undefined ? {} : { prefetch: wholeNumber(prefetch, `${verb}.prefetch`) }),
    ...(prefetchBytes === undefined ? {} : { prefetchBytes: wholeNumber(prefetchBytes, `${verb}.prefetchBytes`) }),
    ...(rate === undefined ? {} : { rate: parseFrequency(rate, `${verb}.rate`) }),
  }
}

function waitOf(backoff: OnOptions['backoff']): { readonly min: number; readonly max: number } {
  if (backoff === undefined) return RETRY.wait
  checkOptions(backoff, ['min', 'max'], 'on.backoff')
  const [min, max] = [parseDuration(backoff.min, 'on.backoff.min'), parseDuration(backoff.max, 'on.backoff.max')]
  // A key that rests keeps its message from being acknowledged: not for longer than a lease.
  if (min <= max && max <= 30_000) return { min, max }
  throw new BadOption({ option: 'on.backoff', expected: "a min up to its max, and a max up to '30s'" }, { path: 'on.backoff' })
}

function breakerOf(given: OnOptions['breaker']): BreakerPolicy | undefined {
  if (given === false) return undefined
  if (given === undefined) return BREAKER
  checkOptions(given, ['share', 'atLeast', 'window'], 'on.breaker')
  const share = given.share ?? BREAKER.share
  if (!(share > 0 && share <= 1))
    throw new BadOption({ option: 'on.breaker.share', expected: 'a share above 0, up to 1' }, { path: 'on.breaker' })
  return {
    share,
    atLeast: wholeNumber(given.atLeast ?? BREAKER.atLeast, 'on.breaker.atLeast'),
    window: given.window === undefined ? BREAKER.window : parseDuration(given.window, 'on.breaker.window'),
  }
}

function otherTeams(team: string, given: readonly string[] | undefined, option: string): readonly string[] {
  if (given === undefined) return Object.freeze([])
  if (!Array.isArray(given) || given.includes(team))
    throw new BadOption({ option, expected: 'a list of names of other teams' }, { path: option })
  for (const other of given) checkTeamName(other)
  return Object.freeze([...new Set(given)])
}

/** One line of text, which other teams' tools print. */
function line(name: 'version' | 'contact', given: string | undefined, longest: number): Readonly<Record<string, string>> {
  if (given === undefined) return {}
  const option = `team.${name}`
  if (typeof given !== 'string' || given.trim() === '' || given.length > longest || /\p{Cc}/u.test(given))
    throw new BadOption({ option, expected: `one line of 1 to ${longest} characters` }, { path: option })
  return { [name]: given }
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
