import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { type ContractDescription, fieldsOn } from '@comity/contract'
import { type Declaration, inNamespace } from '../catalog/declaration.ts'
import { publishedContracts } from '../catalog/published-contracts.ts'
import { clearance } from '../control/clearance.ts'
import { type Loop, loop, systemClock } from '../foundation/index.ts'
import { outsideOfSpans, telemetry } from '../foundation/telemetry/index.ts'
import { relay } from '../relay/relay.ts'
import type { AppliedKeys } from '../replica/replica.ts'
import { replicaConsumer } from '../replica/replica-consumer.ts'
import { compile, partialSchema } from '../schema/index.ts'
import type { Consumer } from '../subscription/consumer.ts'
import { type HandlerContext, handlerConsumer, type MessageBase } from '../subscription/handler.ts'
import { Permits } from '../subscription/permits.ts'
import { type Subscription, subscription } from '../subscription/subscription.ts'
import { tracedConsumer, tracedHandler } from '../subscription/traced-consumer.ts'
import { tracedTransport } from '../transport/traced-transport.ts'
import { gauges } from './gauges.ts'
import type { Parts } from './parts.ts'
import type { Settings } from './settings.ts'
import { VitalSigns, watchedPermit, watchedTransport } from './vital-signs.ts'

/** Everything that runs for a team in this process. */
export interface Runtime extends Parts {
  readonly vitalSigns: VitalSigns
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
  const signals = telemetry()
  const vitalSigns = new VitalSigns()
  const cleared = clearance({ team: inNamespace(namespace, team), holder, database, transport, logger })

  const relaying = settings.relay
    ? relay({
        team,
        database,
        transport: tracedTransport(transport, { telemetry: signals, team }),
        holder,
        lease: settings.lease,
        identity: () => cleared.identity,
        contracts: () => publishedContracts(database, namespace),
        logger,
      })
    : undefined

  const permits = new Permits(settings.concurrency)
  const subscriptions = new Map<string, Subscription>()
  const subscribe = (name: string, contract: ContractDescription, consumer: Consumer<Tx>, attempts?: number, patience?: number): void => {
    const signs = vitalSigns.watch(name, patience)
    subscriptions.set(
      name,
      subscription({
        name,
        brokerName: inNamespace(namespace, name),
        contract,
        database,
        transport: watchedTransport(signs, transport),
        consumer,
        permit: watchedPermit(signs, permits.of(name)),
        cleared: (signal) => cleared.cleared(signal),
        ...(attempts === undefined ? {} : { retry: { attempts, wait: { min: 200, max: 8000 } } }),
        logger,
      }),
    )
  }
  const traced = (name: string, contract: ContractDescription) => ({
    ...{ telemetry: signals, team, subscription: name, topic: contract.name, system: transport.name },
    join: (tx: Tx) => database.join(tx),
  })
  for (const { name, entity, fields } of settings.subscriptions ? declaration.keeps : []) {
    const applied = options.applied.get(name) as AppliedKeys
    const kept = [...entity.keyFields, ...(entity.tenantField === undefined ? [] : [entity.tenantField]), ...fields]
    const validator = compile(partialSchema(entity, kept))
    const consumer = replicaConsumer<Tx>({ validator, onApplied: (keys) => applied.announce(keys) })
    subscribe(name, entity, tracedConsumer(traced(name, entity), consumer))
  }
  for (const { name, contract, audience, handle, batch, timeout, attempts } of settings.subscriptions ? declaration.handles : []) {
    const validator = compile(audience === undefined ? contract.schema : partialSchema(contract, fieldsOn(contract, audience)))
    const contextFor = options.contextFor as (base: HandlerContext<Tx>, message: MessageBase) => never
    const handled = tracedHandler<Tx>(traced(name, contract), handle)
    const consumer = handlerConsumer<Tx, never>({ contract, validator, handle: handled, contextFor, timeout, batch })
    subscribe(name, contract, consumer, attempts, timeout * batch)
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

  const services = [cleared, ...(relaying ? [relaying] : []), ...subscriptions.values(), care, notYet]
  const parts = { clearance: cleared, relay: relaying, subscriptions, loops: [care, notYet] }
  const stopShowing = gauges({ telemetry: signals, declaration, namespace, database, transport, parts, vitalSigns })
  return {
    ...parts,
    vitalSigns,
    start: () =>
      outsideOfSpans(async () => {
        for (const service of services) await service.start()
      }),
    async stop() {
      stopShowing()
      await Promise.all([...subscriptions.values(), care, notYet].map((service) => service.stop()))
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
