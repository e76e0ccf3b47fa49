import type { Contract, DataOf, Entity, Event, FieldOf, Request } from '@comity/contract'
import type { MigrateOptions, MigrationReport } from '../admin/migrate.ts'
import type { TeamStatus } from '../admin/status.ts'
import type { Declaration } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import type { CommandAnswer, CommandOptions } from '../control/give-command.ts'
import type { OperatedTeam } from '../control/operated-teams.ts'
import type { Duration } from '../foundation/index.ts'
import type { Health } from '../http/health.ts'
import type { PublishOptions } from '../outbox/publisher.ts'
import type { Replica, Token } from '../replica/replica.ts'
import type { Asked } from '../request/asked.ts'
import type { AskOptions } from '../request/asking.ts'
import type { AnswerHandler } from '../request/deciding.ts'
import type { OutcomeHandler } from '../request/handling-outcomes.ts'
import type { HandlerContext, MessageOf } from '../subscription/handler.ts'
import type { LineRun } from '../subscription/line-run.ts'
import type { ProvisionStep } from '../transport/index.ts'
import type { AnswersOptions, AsksOptions, KeepsOptions, OnOptions, OwnsOptions } from './declared-options.ts'
import type { TeamOptions } from './settings.ts'

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
