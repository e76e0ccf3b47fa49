import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { type ContractDescription, fieldsOn } from '@comity/contract'
import { declarationReport } from '../admin/declaration-report.ts'
import { jobRunner } from '../admin/jobs/job-runner.ts'
import { executionOf, operate } from '../admin/operations.ts'
import { type Declaration, type Flow, type Handled, inNamespace } from '../catalog/declaration.ts'
import { publishedContracts } from '../catalog/published-contracts.ts'
import { type Clearance, clearance } from '../control/clearance.ts'
import { control } from '../control/control.ts'
import { patienceFor } from '../control/progress-tracker.ts'
import { type Loop, loop, systemClock } from '../foundation/index.ts'
import { type Mover, scheduledMover } from '../outbox/scheduled-mover.ts'
import { type Relay, relay } from '../relay/relay.ts'
import type { AppliedKeys } from '../replica/replica.ts'
import { replicaConsumer } from '../replica/replica-consumer.ts'
import { compile, partialSchema } from '../schema/index.ts'
import { attention } from '../subscription/attention.ts'
import type { Consumer } from '../subscription/consumer.ts'
import type { Wanted } from '../subscription/errors.ts'
import { type HandlerContext, handlerConsumer, type MessageBase } from '../subscription/handler.ts'
import { Permits } from '../subscription/permits.ts'
import { type Subscription, subscription } from '../subscription/subscription.ts'
import type { Settings } from './settings.ts'

/** Everything that runs for a team in this process. */
export interface Runtime {
  readonly clearance: Clearance
  readonly relay: Relay | undefined
  /** Brings events for later to the outbox; in each process that relays, at work in the one that leads. */
  readonly mover: Mover | undefined
  readonly subscriptions: ReadonlyMap<string, Subscription>
  start(): Promise<void>
  stop(): Promise<void>
}

/** Wires the parts of one team together; here alone the inbox meets the outbox. */
export function runtime<Tx>(options: {
  readonly declaration: Declaration
  readonly settings: Settings<Tx>
  /** Per replica (by subscription name): who waits for keys. */
  readonly applied: ReadonlyMap<string, AppliedKeys>
  readonly contextFor: (base: HandlerContext<Tx>, message: MessageBase) => unknown
  /** Whether a copy of this team has what a message waits for; undefined where it has no such copy. */
  readonly arrived: (wanted: Required<Wanted>) => Promise<boolean | undefined>
}): Runtime {
  const { declaration, settings } = options
  const { team, namespace, database, transport, logger } = settings
  const holder = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`
  const cleared = clearance({ team: inNamespace(namespace, team), holder, database, transport, logger })

  const relaying = settings.relay
    ? relay({
        team,
        database,
        transport,
        holder,
        lease: settings.lease,
        identity: () => cleared.identity,
        contracts: () => publishedContracts(database, namespace),
        logger,
      })
    : undefined

  const mover =
    relaying && scheduledMover({ team, database, leads: () => relaying.progress.leading, onMoved: () => relaying.wake(), logger })

  const permits = new Permits(settings.concurrency)
  const subscriptions = new Map<string, Subscription>()
  const subscribe = (
    name: string,
    contract: ContractDescription,
    consumer: Consumer<Tx>,
    flow: Flow,
    more: Partial<Handled> = {},
  ): void => {
    subscriptions.set(
      name,
      subscription({
        name,
        brokerName: inNamespace(namespace, name),
        contract,
        database,
        transport,
        consumer,
        permit: permits.of(name, flow.concurrency),
        cleared: (signal) => cleared.cleared(signal),
        ...(more.retry === undefined ? {} : { retry: more.retry }),
        ...{
          breaker: more.breaker,
          prefetch: flow.prefetch,
          prefetchBytes: flow.prefetchBytes,
          rate: flow.rate,
          tenantRate: flow.tenantRate,
        },
        arrived: options.arrived,
        logger,
      }),
    )
  }
  for (const { name, entity, fields, flow } of settings.subscriptions ? declaration.keeps : []) {
    const applied = options.applied.get(name) as AppliedKeys
    const kept = [...entity.keyFields, ...(entity.tenantField === undefined ? [] : [entity.tenantField]), ...fields]
    const validator = compile(partialSchema(entity, kept))
    subscribe(name, entity, replicaConsumer<Tx>({ validator, onApplied: (keys) => applied.announce(keys) }), flow)
  }
  for (const handled of settings.subscriptions ? declaration.handles : []) {
    const { name, contract, audience, handle, batch, timeout, flow } = handled
    const validator = compile(audience === undefined ? contract.schema : partialSchema(contract, fieldsOn(contract, audience)))
    const contextFor = options.contextFor as (base: HandlerContext<Tx>, message: MessageBase) => never
    subscribe(
      name,
      contract,
      handlerConsumer<Tx, never>({ contract, validator, handle, contextFor, timeout, batch, logger }),
      flow,
      handled,
    )
  }

  const care: Loop = loop({
    name: `care of ${team}`,
    poll: { min: CARE_EVERY, max: CARE_EVERY },
    clock: systemClock,
    logger,
    async runOnce() {
      if (relaying?.progress.leading) await database.query(`select comity.maintain_outbox('1 day')::text`)
      const retain = `${Math.ceil(transport.guarantees.redeliveryWindow / 1000) + 2 * 86_400} seconds`
      await database.query('select comity.maintain_inbox($1::text::interval)::text', [retain])
      await database.query('select comity.maintain_waiting($1::text::interval)::text', [retain])
      await database.query('select comity.fold_counts()::text')
      return 'idle'
    },
  })

  const watching = attention({ team, database, subscriptions, mayRun: () => cleared.identity !== undefined, logger })
  const working = jobRunner({ holder, database, subscriptions, logger })

  const controlling = control({
    ...{ team, holder, database, transport, logger, operates: declaration.operates, operators: declaration.operators },
    brokerName: (name) => inNamespace(namespace, name),
    mayAnnounce: () => cleared.identity !== undefined,
    cleared: (signal) => cleared.cleared(signal),
    declared: declarationReport(declaration),
    subscriptions: [...subscriptions].map(([name, one]) => ({
      ...{ name, patience: patienceFor(declaration.handles.find((handled) => handled.name === name)?.timeout ?? 0) },
      progress: () => one.progress,
    })),
    relay: relaying && (() => relaying.progress),
    receives: settings.subscriptions,
    async execute({ id, kind, arguments: args, author, reason }) {
      return executionOf(await operate(settings, declaration, { id, kind, arguments: args, author, reason, origin: 'command' }))
    },
  })

  const consuming = [...subscriptions.values(), ...(subscriptions.size > 0 ? [...watching, working] : [])]
  const services = [cleared, ...(relaying ? [relaying] : []), ...(mover ? [mover] : []), ...consuming, care, ...controlling]
  return {
    clearance: cleared,
    relay: relaying,
    mover,
    subscriptions,
    async start() {
      for (const service of services) await service.start()
    },
    async stop() {
      await Promise.all([...consuming, care, ...(mover ? [mover] : []), ...controlling].map((service) => service.stop()))
      await relaying?.stop()
      await cleared.stop()
    },
  }
}

/** Between two looks at partitions, in milliseconds. */
const CARE_EVERY = 600_000
