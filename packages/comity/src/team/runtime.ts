import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { type ContractDescription, fieldsOn } from '@comity/contract'
import { declarationReport } from '../admin/declaration-report.ts'
import { executionOf, operate } from '../admin/operations.ts'
import { type Declaration, inNamespace } from '../catalog/declaration.ts'
import { publishedContracts } from '../catalog/published-contracts.ts'
import { type Clearance, clearance } from '../control/clearance.ts'
import { control } from '../control/control.ts'
import { patienceFor } from '../control/progress-tracker.ts'
import { type Loop, loop, systemClock } from '../foundation/index.ts'
import { type Relay, relay } from '../relay/relay.ts'
import type { AppliedKeys } from '../replica/replica.ts'
import { replicaConsumer } from '../replica/replica-consumer.ts'
import { compile, partialSchema } from '../schema/index.ts'
import type { Consumer } from '../subscription/consumer.ts'
import { type HandlerContext, handlerConsumer, type MessageBase } from '../subscription/handler.ts'
import { Permits } from '../subscription/permits.ts'
import { type Subscription, subscription } from '../subscription/subscription.ts'
import type { Settings } from './settings.ts'

/** Everything that runs for a team in this process. */
export interface Runtime {
  readonly clearance: Clearance
  readonly relay: Relay | undefined
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

  const permits = new Permits(settings.concurrency)
  const subscriptions = new Map<string, Subscription>()
  const subscribe = (name: string, contract: ContractDescription, consumer: Consumer<Tx>, attempts?: number): void => {
    subscriptions.set(
      name,
      subscription({
        name,
        brokerName: inNamespace(namespace, name),
        contract,
        database,
        transport,
        consumer,
        permit: permits.of(name),
        cleared: (signal) => cleared.cleared(signal),
        ...(attempts === undefined ? {} : { retry: { attempts, wait: { min: 200, max: 8000 } } }),
        logger,
      }),
    )
  }
  for (const { name, entity, fields } of settings.subscriptions ? declaration.keeps : []) {
    const applied = options.applied.get(name) as AppliedKeys
    const kept = [...entity.keyFields, ...(entity.tenantField === undefined ? [] : [entity.tenantField]), ...fields]
    const validator = compile(partialSchema(entity, kept))
    subscribe(name, entity, replicaConsumer<Tx>({ validator, onApplied: (keys) => applied.announce(keys) }))
  }
  for (const { name, contract, audience, handle, batch, timeout, attempts } of settings.subscriptions ? declaration.handles : []) {
    const validator = compile(audience === undefined ? contract.schema : partialSchema(contract, fieldsOn(contract, audience)))
    const contextFor = options.contextFor as (base: HandlerContext<Tx>, message: MessageBase) => never
    subscribe(name, contract, handlerConsumer<Tx, never>({ contract, validator, handle, contextFor, timeout, batch }), attempts)
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
      return 'idle'
    },
  })

  const notYet: Loop = loop({
    name: `what is not yet there for ${team}`,
    poll: { min: NOT_YET_EVERY, max: NOT_YET_EVERY },
    clock: systemClock,
    logger,
    async runOnce(signal) {
      if (cleared.identity === undefined) return 'idle'
      const { rows } = await database.query<{ name: string }>(NOT_YET)
      let ran = 0
      for (const { name } of rows) ran += (await subscriptions.get(name)?.retryNotYet(signal)) ?? 0
      return ran > 0 ? 'busy' : 'idle'
    },
  })

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

  const services = [cleared, ...(relaying ? [relaying] : []), ...subscriptions.values(), care, notYet, ...controlling]
  return {
    clearance: cleared,
    relay: relaying,
    subscriptions,
    async start() {
      for (const service of services) await service.start()
    },
    async stop() {
      await Promise.all([...subscriptions.values(), care, notYet, ...controlling].map((service) => service.stop()))
      await relaying?.stop()
      await cleared.stop()
    },
  }
}

/** Between two looks at partitions, in milliseconds. */
const CARE_EVERY = 600_000
/** Asked once for all subscriptions: where nothing waits, a team that stands still does nothing more. */
const NOT_YET = `select distinct subscription as name from comity.waiting_keys where reason = 'not-yet'`
/** Between two looks at what was not there yet, in milliseconds. */
const NOT_YET_EVERY = 2000
