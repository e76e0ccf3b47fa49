import { requireCurrent } from '../admin/installation.ts'
import type { Environment } from '../catalog/environment.ts'
import { type Clock, type Loop, Pulse, systemClock } from '../foundation/index.ts'
import { type Check, check, type Health, healthOf } from '../http/health.ts'
import { describeError } from '../postgres/classify-error.ts'
import type { Permit } from '../subscription/permits.ts'
import { decorateTransport } from '../transport/decorate-transport.ts'
import type { DeliveryHandler, Transport } from '../transport/transport.ts'
import type { Parts } from './parts.ts'

/**
 * Whether what runs for a team makes progress, computed from progress alone:
 *   a loop          its turn has not ended for too long
 *   the relay       no turn and no batch has passed for too long (a turn lasts as long as there is something to send)
 *   a subscription  messages are in flight, and none was delivered, handled or committed for too long
 * A database or a broker that is down is no reason: who can't reach them tries again and again, and trying is progress.
 */
export class VitalSigns {
  readonly #clock: Clock
  readonly #subscriptions = new Map<string, SubscriptionSigns>()

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** @param patience milliseconds that one step of it may take */
  watch(subscription: string, patience = 0): SubscriptionSigns {
    const signs = { pulse: new Pulse(this.#clock), patience, inFlight: 0 }
    this.#subscriptions.set(subscription, signs)
    return signs
  }
  /** Messages that were delivered to this process and not answered yet. */
  inFlight(subscription: string): number {
    return this.#subscriptions.get(subscription)?.inFlight ?? 0
  }

  /** @param stuckAfter milliseconds without a sign */
  live(parts: Parts, stuckAfter: number): Health {
    const { relay, clearance, loops } = parts
    const now = this.#clock.monotonic()
    const stuck = ({ turn }: Loop, limit: number): string | undefined =>
      turn.since !== undefined && now - turn.since > limit ? `one turn has been running for ${seconds(now - turn.since)}` : undefined
    const checks = [check(clearance.name, stuck(clearance, stuckAfter))]
    // These run handlers and look after tables, as long as it takes.
    for (const loop of loops) checks.push(check(loop.name, stuck(loop, 15 * stuckAfter)))
    if (relay) {
      const { silentFor } = relay.pulse
      checks.push(check(relay.name, silentFor > stuckAfter ? `it has made no step for ${seconds(silentFor)}` : undefined))
    }
    for (const [name, { pulse, patience, inFlight }] of this.#subscriptions) {
      const { silentFor } = pulse
      const silent = inFlight > 0 && silentFor > Math.max(stuckAfter, 2 * patience)
      checks.push(
        check(
          `subscription ${name}`,
          silent ? `${inFlight} messages are in flight, and none has moved for ${seconds(silentFor)}` : undefined,
        ),
      )
    }
    return healthOf(checks)
  }
}

/** What is known of one subscription of this process. */
export interface SubscriptionSigns {
  readonly pulse: Pulse
  readonly patience: number
  inFlight: number
}

/** Whether a team's process can do its work now: what it reports comes from what it has tried last, and from asking its database. */
export async function readiness(parts: Parts, environment: Environment, stuckAfter: number): Promise<Health> {
  const { clearance, relay, subscriptions } = parts
  const unreachable = await problemOf(() => environment.database.query('select 1 as answer'))
  const checks: Check[] = [check('database', unreachable)]
  checks.push(
    check('schema', unreachable === undefined ? await problemOf(() => requireCurrent(environment)) : 'the database can not be asked'),
  )
  const { refusal, identity, turn } = clearance
  const why = refusal ?? turn.error
  checks.push(check('cleared', identity === undefined || refusal ? describeOr(why, 'not known yet') : undefined))
  const troubles = [
    ...(unreachable === undefined && turn.error !== undefined ? [`announcing this process failed: ${firstLine(turn.error)}`] : []),
    ...(relay?.progress.troubleSince ? [`it has not taken what the relay sends since ${relay.progress.troubleSince.toISOString()}`] : []),
    ...[...subscriptions].flatMap(([name, { progress }]) =>
      progress.troubleSince ? [`${name} has not reached it since ${progress.troubleSince.toISOString()}`] : [],
    ),
  ]
  checks.push(check('broker', troubles.length === 0 ? undefined : troubles.join('; ')))
  if (relay) {
    const { silentFor } = relay.pulse
    const problem = relay.turn.failures > 0 ? `its last turn failed: ${firstLine(relay.turn.error)}` : undefined
    checks.push(check('relay', silentFor > stuckAfter ? `it has made no step for ${seconds(silentFor)}` : problem))
  }
  return healthOf(checks)
}

/** A subscription's transactions and deliveries, each of them a sign of life. */
export function watchedPermit({ pulse }: SubscriptionSigns, permit: Permit): Permit {
  return (work, turn) =>
    permit(() => {
      pulse.beat()
      return work().finally(() => pulse.beat())
    }, turn)
}
export function watchedTransport(signs: SubscriptionSigns, inner: Transport): Transport {
  return decorateTransport(inner, {
    receive: (subscription, handler, options) => {
      const watched: DeliveryHandler = (deliveries) => {
        signs.pulse.beat()
        const answered = handler(deliveries)
        signs.inFlight += deliveries.length
        return answered.finally(() => {
          signs.inFlight -= deliveries.length
        })
      }
      return inner.receive(subscription, watched, options)
    },
  })
}

async function problemOf(ask: () => Promise<unknown>): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, ANSWER_WITHIN, `no answer within ${ANSWER_WITHIN} ms`)
  })
  const answer = ask().then(() => undefined, firstLine)
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}
/** Milliseconds; orchestrators usually wait for a second or more, and a probe must say why. */
const ANSWER_WITHIN = 900

function firstLine(error: unknown): string {
  return describeError(error).split('\n', 1)[0] as string
}
function describeOr(error: unknown, otherwise: string): string {
  return error === undefined ? otherwise : firstLine(error)
}
function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`
}
