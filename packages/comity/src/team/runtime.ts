import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { ComityError, topicsOf } from '@comity/contract'
import { declarationReport, ownContracts } from '../admin/declaration-report.ts'
import { jobRunner } from '../admin/jobs/job-runner.ts'
import { executionOf, operate } from '../admin/operations.ts'
import { copyAudits } from '../audit/copy-audits.ts'
import { ownerAudits } from '../audit/owner-audits.ts'
import { copyBackfills } from '../backfill/copy-backfills.ts'
import { ownerBackfills } from '../backfill/owner-backfills.ts'
import { contractsPublishedBy, inNamespace } from '../catalog/declaration.ts'
import { publishedContracts } from '../catalog/published-contracts.ts'
import { clearance } from '../control/clearance.ts'
import { control } from '../control/control.ts'
import { movingMarks } from '../control/moving-marks.ts'
import { patienceFor } from '../control/progress-tracker.ts'
import { admitRelay } from '../control/transport-moves.ts'
import { erasures } from '../erasure/erasures.ts'
import { type Loop, logEvent, loop, systemClock } from '../foundation/index.ts'
import { outsideOfSpans, telemetry } from '../foundation/telemetry/index.ts'
import { type Mover, scheduledMover } from '../outbox/scheduled-mover.ts'
import type { Database } from '../postgres/database.ts'
import { relay } from '../relay/relay.ts'
import type { AppliedKeys } from '../replica/replica.ts'
import { handlingOutcomes } from '../request/handling-outcomes.ts'
import { requests } from '../request/requests.ts'
import { attention } from '../subscription/attention.ts'
import { isMoving } from '../transport/index.ts'
import { tracedTransport } from '../transport/traced-transport.ts'
import { gauges } from './gauges.ts'
import type { Parts } from './parts.ts'
import { type Subscribing, subscribe } from './subscribe.ts'
import { VitalSigns } from './vital-signs.ts'

/** Everything that runs for a team in this process. */
export interface Runtime extends Parts {
  /** Brings events for later to the outbox; in each process that relays, at work in the one that leads. */
  readonly mover: Mover | undefined
  readonly vitalSigns: VitalSigns
  start(): Promise<void>
  stop(): Promise<void>
}

/** Wires the parts of one team together; here alone the inbox meets the outbox. */
export function runtime<Tx>(
  options: Omit<Subscribing<Tx>, 'cleared' | 'signals' | 'vitalSigns' | 'onDecided'> & { readonly outcomes: AppliedKeys },
): Runtime {
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
        admitted: () =>
          admitRelay(team, database, settings.brokers).then(
            () => true,
            (error: unknown) => {
              if (!(error instanceof ComityError)) throw error
              logEvent(logger, 'comity.relay.not_admitted', { error })
              return false
            },
          ),
        contracts: () => publishedContracts(database, namespace),
        logger,
      })
    : undefined
  const mover =
    relaying && scheduledMover({ team, database, leads: () => relaying.progress.leading, onMoved: () => relaying.wake(), logger })

  const marks =
    relaying &&
    isMoving(transport) &&
    movingMarks({
      ...{ team, database, transport, brokers: settings.brokers, logger },
      topics: contractsPublishedBy(declaration).flatMap((contract) => topicsOf(contract).map((topic) => inNamespace(namespace, topic))),
      fence: () => fence(),
      every: Math.min(MARK_EVERY, settings.moveMargin / 4),
    })

  const fence = () => (relaying?.progress.leading && cleared.identity ? { ...cleared.identity, term: relaying.progress.term } : undefined)
  const requesting = requests({
    ...{ declaration, database, transport, logger, relay: relaying, receives: settings.subscriptions, heard: options.outcomes },
    brokerName: (name) => inNamespace(namespace, name),
    mayRun: () => cleared.identity !== undefined,
    cleared: (signal) => cleared.cleared(signal),
    onTold: ({ request, outcome, reason }) =>
      signals.count('comity.request.decided', 1, {
        ...{ 'comity.team': team, 'messaging.destination.name': request },
        // Reasons of contracts are many, the engine's two.
        'comity.request.outcome': reason === 'conflict' || reason === 'discarded' ? reason : outcome,
      }),
  })
  const onDecided = requesting.tellSoon
  const { subscriptions, fillers, permits } = subscribe({ ...options, cleared, signals, vitalSigns, onDecided })
  const reacting =
    settings.subscriptions && declaration.outcomes.length > 0
      ? handlingOutcomes<Tx>({
          ...{ team, handled: declaration.outcomes, database, logger, permit: permits.of('outcomes', 1) },
          mayRun: () => cleared.identity !== undefined,
          contextFor: (base) => options.contextFor(base, { traceparent: undefined }),
        })
      : undefined
  const copying = {
    ...{ declaration, holder, database: database as Database, transport, logger, fence, lease: settings.lease, ...settings.backfill },
    brokerName: (name: string) => inNamespace(namespace, name),
    mayRun: () => cleared.identity !== undefined,
    cleared: (signal: AbortSignal) => cleared.cleared(signal),
  }
  const auditing = {
    ...copying,
    team,
    speaker: { team, transport, topicNamed: copying.brokerName },
    life: () => cleared.identity?.incarnation,
  }
  const audits = copyAudits({ ...auditing, copies: fillers, permit: permits.of('audits', 1), schedule: settings.audit })
  const audited = ownerAudits(auditing)
  const filling =
    fillers.length === 0
      ? NOTHING
      : copyBackfills({ ...copying, fillers, permit: permits.of('backfills', 1), heard: audits.handlers, confirmed: audits.confirmed })
  const announcing = relaying === undefined ? NOTHING : ownerBackfills({ ...copying, relay: relaying, heard: [audited.handler as never] })
  // Their turns are as long as an audit: no probe counts their seconds.
  const comparing = [...(fillers.length > 0 ? [audits.loop] : []), ...(announcing.services.length > 0 ? [audited.loop] : [])]
  const erasing = erasures({ ...copying, relay: relaying, receives: settings.subscriptions, permit: permits.of('erasures', 1) })
  const attending = attention({ team, database, subscriptions, mayRun: () => cleared.identity !== undefined, logger })
  const jobs = jobRunner({ holder, database, subscriptions, logger })

  const controlling = control({
    ...{ team, holder, database, transport, logger, operates: declaration.operates, operators: declaration.operators },
    brokerName: (name) => inNamespace(namespace, name),
    mayAnnounce: () => cleared.identity !== undefined,
    cleared: (signal) => cleared.cleared(signal),
    declared: declarationReport(declaration),
    contracts: ownContracts(declaration),
    subscriptions: [...subscriptions].map(([name, one]) => ({
      ...{
        name,
        patience: patienceFor([...declaration.handles, ...declaration.answers].find((handled) => handled.name === name)?.timeout ?? 0),
      },
      progress: () => one.progress,
    })),
    relay: relaying && (() => relaying.progress),
    receives: settings.subscriptions,
    async execute({ id, kind, arguments: args, author, reason }) {
      return executionOf(await operate(settings, declaration, { id, kind, arguments: args, author, reason, origin: 'command' }))
    },
  })

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

  const loops = [
    care,
    ...(marks ? [marks] : []),
    ...(subscriptions.size > 0 ? [...attending, jobs] : []),
    ...filling.loops,
    ...announcing.loops,
    ...erasing.loops,
    ...requesting.loops,
    ...(reacting ? [reacting] : []),
  ]
  const side = [
    ...subscriptions.values(),
    ...loops,
    ...(mover ? [mover] : []),
    ...controlling,
    ...filling.services,
    ...announcing.services,
    ...erasing.services,
    ...requesting.services,
    ...comparing,
  ]
  const services = [cleared, ...(relaying ? [relaying] : []), ...side]
  const parts = { clearance: cleared, relay: relaying, subscriptions, loops }
  const stopShowing = gauges({ telemetry: signals, declaration, namespace, database, transport, parts, vitalSigns })
  return {
    ...parts,
    mover,
    vitalSigns,
    start: () =>
      outsideOfSpans(async () => {
        for (const service of services) await service.start()
      }),
    async stop() {
      stopShowing()
      await Promise.all(side.map((service) => service.stop()))
      await relaying?.stop()
      await cleared.stop()
    },
  }
}

const NOTHING = { loops: [], services: [] }
/** Between two marks on a topic, while the team moves between brokers, in milliseconds. */
const MARK_EVERY = 5000
/** Between two looks at partitions, in milliseconds. */
const CARE_EVERY = 600_000
