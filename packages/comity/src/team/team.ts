import { type Contract, type DataOf, type Entity, type Event, type FieldOf, keyOf, type Request } from '@comity/contract'
import type { MigrateOptions, MigrationReport } from '../admin/migrate.ts'
import { migrate } from '../admin/migrate.ts'
import { provision } from '../admin/provision.ts'
import { type TeamStatus, teamStatus } from '../admin/status.ts'
import { verify } from '../admin/verify.ts'
import { verifyAsked } from '../admin/verify-asked.ts'
import { verifySubscribed } from '../admin/verify-subscribed.ts'
import { type Declaration, inNamespace, type Kept } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { catalogSubscription } from '../control/catalog-topic.ts'
import { copyingSubscriptions } from '../control/copying-topics.ts'
import { erasureSubscriptions } from '../control/erasure-topics.ts'
import { type CommandAnswer, type CommandOptions, giveCommand } from '../control/give-command.ts'
import { type OperatedTeam, operatedTeams } from '../control/operated-teams.ts'
import { outcomeSubscriptions } from '../control/request-topics.ts'
import { systemSubscriptions } from '../control/system-topics.ts'
import { beginMove } from '../control/transport-moves.ts'
import { type Duration, parseDuration, systemClock } from '../foundation/index.ts'
import { check, type Health, healthOf } from '../http/health.ts'
import { continuing } from '../outbox/creation.ts'
import { EntityIsCaptured, NotPublishedHere } from '../outbox/errors.ts'
import { Publisher, type PublishOptions, tokenOf } from '../outbox/publisher.ts'

import type { Queryable } from '../postgres/index.ts'
import { AppliedKeys, type Replica, replica, type Token } from '../replica/replica.ts'
import type { Asked } from '../request/asked.ts'
import { Asking, type AskOptions } from '../request/asking.ts'
import type { AnswerHandler } from '../request/deciding.ts'
import type { OutcomeHandler } from '../request/handling-outcomes.ts'
import type { HandlerContext, MessageOf } from '../subscription/handler.ts'
import type { LineRun } from '../subscription/line-run.ts'
import type { Subscription } from '../subscription/subscription.ts'
import type { ProvisionStep } from '../transport/index.ts'
import { type AnswersOptions, type AsksOptions, Declaring, type KeepsOptions, type OnOptions, type OwnsOptions } from './declare.ts'
import { NoSuchSubscription, NotReplica } from './errors.ts'
import { type Runtime, runtime } from './runtime.ts'
import { Settings, type TeamOptions } from './settings.ts'
import { readiness } from './vital-signs.ts'

/** What a handler gets beside its message. */
export interface TeamContext<Tx> extends HandlerContext<Tx> {
  /** Publishes in the handler's own transaction. */
  publish<C extends Contract>(contract: C, data: DataOf<C>, options?: PublishOptions): Promise<number>
  /** Asks an owner in the handler's own transaction. Never wait for the outcome in a handler: it is heard after this transaction has committed. */
  ask<R extends Request>(request: R, data: DataOf<R>, options?: AskOptions<R>): Promise<Asked<R>>
}

/**
 * One team: what it owns, keeps, publishes and handles, and everything that runs for it. The value is the
 * configuration: declare on it, default-export it from `comity.config.ts` for the command line, import it anywhere.
 * Making it does no work; `publish` works on a team that was never started.
 */
export interface Team<Tx = unknown> extends AsyncDisposable {
  readonly name: string
  readonly declaration: Declaration
  readonly options: TeamOptions<Tx>
  /** Where the declaration lives, for the functions of `comity/admin`; opens its parts when they are first used. */
  readonly environment: Environment<Tx>

  /** This team owns the entity: every committed change of `table` is announced, whoever wrote it; without a table, by `publish`. */
  owns(entity: Entity, options?: OwnsOptions): Team<Tx>
  /** This team announces the event. */
  publishes(contract: Contract): Team<Tx>
  /** This team keeps a partial copy of another team's entity, in a plain table of its own database. */
  keeps<E extends Entity>(entity: E, options: KeepsOptions<FieldOf<E>, DataOf<E>>): Team<Tx>
  /** This team handles an event, or an entity's changes: the effect in `tx` happens once. */
  on<C extends Contract, const Field extends FieldOf<C> = FieldOf<C>>(
    contract: C,
    handle: (message: MessageOf<C, Field>, context: TeamContext<Tx>) => Promise<void> | void,
    options?: OnOptions<Field>,
  ): Team<Tx>
  /** This team asks that of the owner of an entity. Somebody must answer it when this team starts: else COMITY_REQUEST_UNANSWERED. */
  asks(request: Request): Team<Tx>
  /**
   * The same, and what this team does when the owner has decided: the effect in `tx` happens once for each outcome, in whichever process. A handler that
   * throws is tried again, ever later, up to ten minutes; it may ask and publish in its turn.
   */
  asks<R extends Request>(request: R, handle: OutcomeHandler<R, TeamContext<Tx>>, options?: AsksOptions): Team<Tx>
  /** This team, as the owner, answers a request: once, in one transaction with what the handler writes in `tx`. */
  answers<R extends Request>(request: R, handle: AnswerHandler<R, TeamContext<Tx>>, options?: AnswersOptions): Team<Tx>
  /**
   * How this team reads messages of an older version of a contract that it keeps or handles, which still lie in queues and retention, or come
   * from an owner that is behind. What fits `contract` is not lifted.
   * @param lift pure, and without effects: it may be called again for the same message
   */
  lifts<Older extends Contract, C extends Contract>(older: Older, contract: C, lift: (data: DataOf<Older>) => DataOf<C>): Team<Tx>

  /**
   * Announces an event, or a state of an entity without a table, inside the caller's transaction; after the business statement.
   * @returns the version drawn; 0 with a `notBefore` that is still to come: it is drawn then
   */
  publish<C extends Contract>(tx: Tx, contract: C, data: DataOf<C>, options?: PublishOptions): Promise<number>
  /** Many at once; of several states of a key only the last is announced (its predecessors answer 0). */
  publishMany<C extends Contract>(tx: Tx, contract: C, data: readonly DataOf<C>[], options?: PublishOptions): Promise<readonly number[]>
  /**
   * Cancels, inside the caller's transaction, every event of a key that waits for its `notBefore`.
   * @returns how many; 0 where all of them have become events already
   */
  cancelScheduled(tx: Tx, event: Event, key: string | Readonly<Record<string, unknown>>): Promise<number>
  /**
   * Asks the owner of an entity for a change, inside the caller's transaction; its outcome is for who has committed that. Works on a team that was
   * never started. Throws what `publish` throws, COMITY_NOT_ASKED_HERE and COMITY_EXPECTATION_UNFIT.
   */
  ask<R extends Request>(tx: Tx, request: R, data: DataOf<R>, options?: AskOptions<R>): Promise<Asked<R>>
  /** What was asked before, by its id. */
  asked<R extends Request>(request: R, id: string): Asked<R>
  /** Asks the owner to end a request that it has not decided, inside the caller's transaction. @returns false where its outcome is known here already */
  withdraw(tx: Tx, request: Request, id: string): Promise<boolean>
  /** "At least this": what this transaction announced for a key; others wait for it with `replica(…).waitFor(token)`. */
  token(tx: Tx, entity: Entity, key: string | Readonly<Record<string, unknown>>): Promise<Token>
  /** The copy that this team keeps; of several of one entity the one that was declared with this `name`, or else the first. */
  replica(entity: Entity, options?: { readonly name?: string }): Replica

  /** All DDL of this team in its own database; run as the tables' owner. */
  migrate(options?: MigrateOptions): Promise<MigrationReport>
  /** All broker objects of this team; run as the transport's operator. */
  provision(options?: { readonly dryRun?: boolean }): Promise<readonly ProvisionStep[]>
  /** Verifies, then runs relay and subscriptions. Refuses, with the command to run, a database that is not migrated for this code. */
  start(): Promise<void>
  /** Drains and stops everything this team runs here. */
  stop(): Promise<void>
  /** Resolves when everything that was committed before the call is sent or withheld; only in the process that relays. @returns messages sent by this process so far */
  drained(): Promise<number>
  /** Resolves when everything sent to this team's subscriptions before the call has ended; what waits is counted. */
  caughtUp(options?: { readonly signal?: AbortSignal }): Promise<{ readonly waiting: number }>
  /** Runs the waiting line of a key again, in order. */
  retry(subscription: string, key: string): Promise<LineRun>
  /** Whether everything that runs here makes progress. A loop or a subscription without a sign for `stuckAfter` ('60s') does not: restart it. */
  live(options?: { readonly stuckAfter?: Duration }): Health
  /** Whether this process can do its work now: cleared, database, schema, broker and relay. */
  ready(options?: { readonly stuckAfter?: Duration }): Promise<Health>
  /** What an operator sees. */
  status(): Promise<TeamStatus>
  /** The teams that this one operates, with the last that was heard of each. */
  teams(): Promise<readonly OperatedTeam[]>
  /**
   * Has an operation done by a team that this one operates, and waits for its answer; a process of this team must run to receive it.
   * Throws COMITY_COMMAND_UNANSWERED when the time is over: the command stays valid, and the same `id` asks again.
   */
  command(team: string, options: CommandOptions): Promise<CommandAnswer>
  /** The same declaration elsewhere: another database, transport or namespace. */
  with<OtherTx = Tx>(options: TeamOptions<OtherTx>): Team<OtherTx>
}

/** By a URL, `tx` is a Queryable; by an adapter, the transaction of its library. */
export function team<Tx = Queryable>(name: string, options: TeamOptions<Tx> = {}): Team<Tx> {
  return assemble(name, options, new Declaring(name, options))
}

function assemble<Tx>(name: string, options: TeamOptions<Tx>, declaring: Declaring): Team<Tx> {
  const settings = new Settings<Tx>(
    name,
    options,
    () => declaring.longestHandler,
    () =>
      [
        ...systemSubscriptions(declaring.declaration),
        ...copyingSubscriptions(declaring.declaration),
        ...erasureSubscriptions(declaring.declaration),
        ...outcomeSubscriptions(declaring.declaration),
        { name: catalogSubscription(name) },
      ].map(({ name: one }) => one),
  )
  const publishers = new Map<Contract, Publisher<Contract>>()
  const applied = new Map<string, AppliedKeys>()
  const replicas = new Map<string, Replica>()
  let running: Runtime | undefined
  const outcomes = new AppliedKeys()
  const asking = new Asking({
    team: name,
    asks: () => declaring.declaration.asks,
    keeps: () => declaring.declaration.keeps,
    heard: outcomes,
    get database() {
      return settings.database
    },
    async waitFor(request, token, given) {
      const copy = self.replica({ name: request.entity } as Entity)
      if (token !== undefined) await copy.waitFor(token, given)
    },
  })

  function publisherOf(contract: Contract): Publisher<Contract> {
    let publisher = publishers.get(contract)
    if (publisher === undefined) {
      const { owns, publishes } = declaring.declaration
      const owned = owns.find(({ entity }) => entity.name === contract.name)
      if (owned?.table !== undefined) throw new EntityIsCaptured({ entity: contract.name })
      if (owned === undefined && !publishes.some((other) => other.name === contract.name)) {
        throw new NotPublishedHere({ contract: contract.name, team: name })
      }
      publisher = new Publisher(contract)
      publishers.set(contract, publisher)
    }
    return publisher
  }

  const self: Team<Tx> = {
    name,
    options,
    environment: settings,
    get declaration() {
      return declaring.declaration
    },
    owns(entity, given = {}) {
      declaring.owns(entity, given)
      return self
    },
    publishes(contract) {
      declaring.publishes(contract)
      return self
    },
    keeps(entity, given) {
      declaring.keeps(entity, given)
      return self
    },
    on(contract, handle, given = {}) {
      declaring.on(contract, handle as never, given)
      return self
    },
    asks(request: Request, handle?: OutcomeHandler<never, TeamContext<Tx>>, given: AsksOptions = {}) {
      declaring.asks(request, handle as never, given)
      return self
    },
    answers(request, handle, given = {}) {
      declaring.answers(request, handle as never, given)
      return self
    },

    lifts(older, contract, lift) {
      declaring.lifts(older, contract, lift as never)
      return self
    },

    async publish(tx, contract, data, given) {
      const version = await publisherOf(contract).publish(settings.database.join(tx), data as never, given)
      wake(given)
      return version
    },
    async publishMany(tx, contract, data, given) {
      const versions = await publisherOf(contract).publishMany(settings.database.join(tx), data as never[], given)
      wake(given)
      return versions
    },
    async ask(tx, request, data, given) {
      const asked = await asking.ask(settings.database.join(tx), request, data, given)
      wake()
      return asked
    },
    asked: (request, id) => asking.handle(request, id),
    async withdraw(tx, request, id) {
      const withdrawing = await asking.withdraw(settings.database.join(tx), request, id)
      wake()
      return withdrawing
    },
    async cancelScheduled(tx, event, key) {
      return publisherOf(event).cancelScheduled(settings.database.join(tx), typeof key === 'string' ? key : keyOf(event, key))
    },
    async token(tx, entity, key) {
      return tokenOf(settings.database.join(tx), entity, typeof key === 'string' ? key : keyOf(entity, key))
    },
    replica(entity, { name: own } = {}) {
      const copies = declaring.declaration.keeps.filter((kept) => kept.entity.name === entity.name)
      const kept = own === undefined ? copies[0] : copies.find((one) => one.name === `${name}.${own}`)
      if (kept === undefined) throw new NotReplica({ team: name, entity: own === undefined ? entity.name : `${entity.name} named ${own}` })
      return replicaOf(kept)
    },

    migrate: (given) => migrate(declaring.declaration, settings, given),
    provision: (given) => provision(declaring.declaration, settings, given),
    async start() {
      if (running !== undefined) return running.start()
      if (settings.autoMigrate) {
        await migrate(declaring.declaration, settings)
        await provision(declaring.declaration, settings)
      }
      await verify(declaring.declaration, settings)
      await beginMove(name, settings.database, settings.brokers)
      if (settings.subscriptions) await verifySubscribed(declaring.declaration, settings)
      await verifyAsked(declaring.declaration, settings)
      for (const { name: subscription } of declaring.declaration.keeps) appliedOf(subscription)
      running = runtime<Tx>({
        declaration: declaring.declaration,
        settings,
        applied,
        outcomes,
        contextFor: (base, { traceparent }) => ({
          ...base,
          publish: (contract: Contract, data: never, given?: PublishOptions) =>
            self.publish(base.tx, contract, data, continuing(traceparent, given)),
          ask: (request: Request, data: never, given?: AskOptions) => self.ask(base.tx, request, data, continuing(traceparent, given)),
        }),
        arrived: async ({ topic, key, version }) => {
          const copies = declaring.declaration.keeps.filter((kept) => kept.entity.name === topic)
          if (copies.length === 0) return undefined
          // Of several copies nobody knows which one the handler reads.
          const known = await Promise.all(copies.map((kept) => replicaOf(kept).versionOf(key)))
          return known.every((one) => one >= Math.max(1, version))
        },
      })
      await running.start()
    },
    async stop() {
      const stopping = running
      running = undefined
      replicas.clear()
      await stopping?.stop()
      await settings.close()
    },
    async drained() {
      await running?.relay?.drained()
      return running?.relay?.progress.sent ?? 0
    },
    async caughtUp(given) {
      const subscriptions: readonly Subscription[] = [...(running?.subscriptions.values() ?? [])]
      const answers = await Promise.all(subscriptions.map((subscription) => subscription.caughtUp(given)))
      return { waiting: answers.reduce((sum, { waiting }) => sum + waiting, 0) }
    },
    async retry(subscription, key) {
      const found = running?.subscriptions.get(subscription)
      if (found === undefined) throw new NoSuchSubscription({ team: name, subscription })
      return found.retry(key)
    },
    live({ stuckAfter = '60s' } = {}) {
      return running === undefined ? healthOf([]) : running.vitalSigns.live(running, parseDuration(stuckAfter, 'live.stuckAfter'))
    },
    async ready({ stuckAfter = '60s' } = {}) {
      if (running === undefined) return healthOf([check('started', 'the team was not started here, or is being stopped')])
      return readiness(running, settings, parseDuration(stuckAfter, 'ready.stuckAfter'))
    },
    status: () => teamStatus(declaring.declaration, settings),
    teams: () => operatedTeams(settings.database, declaring.declaration.operates),
    command(to, given) {
      const { database, transport, namespace } = settings
      const { operates } = declaring.declaration
      return giveCommand({ team: name, operates, database, transport, topicNamed: (topic) => inNamespace(namespace, topic) }, to, given)
    },
    with: (given) => assemble(name, given, declaring),
    [Symbol.asyncDispose]: () => self.stop(),
  }

  function replicaOf(kept: Kept): Replica {
    const known = replicas.get(kept.name)
    if (known !== undefined) return known
    const made = replica({
      name: kept.name,
      topic: kept.entity.name,
      database: settings.database,
      applied: appliedOf(kept.name),
      table: `${kept.schema}.${kept.table}`,
      clock: systemClock,
    })
    replicas.set(kept.name, made)
    return made
  }

  function wake(given: PublishOptions = {}): void {
    if (given.notBefore !== undefined) running?.mover?.wake()
    running?.relay?.wake()
  }

  function appliedOf(subscription: string): AppliedKeys {
    let keys = applied.get(subscription)
    if (keys === undefined) {
      keys = new AppliedKeys()
      applied.set(subscription, keys)
    }
    return keys
  }
  return self
}
