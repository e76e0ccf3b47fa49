import { type Contract, type Entity, keyOf, type Request } from '@comity/contract'
import { migrate } from '../admin/migrate.ts'
import { provision } from '../admin/provision.ts'
import { teamStatus } from '../admin/status.ts'
import { verify } from '../admin/verify.ts'
import { verifyAsked } from '../admin/verify-asked.ts'
import { verifySubscribed } from '../admin/verify-subscribed.ts'
import { inNamespace, type Kept } from '../catalog/declaration.ts'
import { catalogSubscription } from '../control/catalog-topic.ts'
import { copyingSubscriptions } from '../control/copying-topics.ts'
import { erasureSubscriptions } from '../control/erasure-topics.ts'
import { giveCommand } from '../control/give-command.ts'
import { operatedTeams } from '../control/operated-teams.ts'
import { outcomeSubscriptions } from '../control/request-topics.ts'
import { systemSubscriptions } from '../control/system-topics.ts'
import { beginMove } from '../control/transport-moves.ts'
import { parseDuration, systemClock } from '../foundation/index.ts'
import { check, healthOf } from '../http/health.ts'
import { continuing } from '../outbox/creation.ts'
import { EntityIsCaptured, NotPublishedHere } from '../outbox/errors.ts'
import { Publisher, type PublishOptions, tokenOf } from '../outbox/publisher.ts'
import type { Queryable } from '../postgres/database.ts'
import { AppliedKeys, type Replica, replica } from '../replica/replica.ts'
import { Asking, type AskOptions } from '../request/asking.ts'
import type { OutcomeHandler } from '../request/handling-outcomes.ts'
import type { Subscription } from '../subscription/subscription.ts'
import { Declaring } from './declare.ts'
import type { AsksOptions } from './declared-options.ts'
import { NoSuchSubscription, NotReplica } from './errors.ts'
import { type Runtime, runtime } from './runtime.ts'
import { Settings, type TeamOptions } from './settings.ts'
import type { Team, TeamContext } from './team-surface.ts'
import { readiness } from './vital-signs.ts'

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
