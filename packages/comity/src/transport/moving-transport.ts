import { backoff, type Clock, type Logger, logEvent, silentLogger, systemClock } from '../foundation/index.ts'
import { commonGuarantees } from './common-guarantees.ts'
import { TransportUnsupported } from './errors.ts'
import { movingMark, withoutMovingMarks } from './marks.ts'
import type { MoveRecords } from './move-records.ts'
import { proveCaughtUp } from './prove-caught-up.ts'
import { sendToBoth } from './send-to-both.ts'
import type {
  ClaimResult,
  DeliveryHandler,
  Fence,
  Identity,
  ProvisionStep,
  ReceiveOptions,
  SubscriptionStats,
  Transport,
} from './transport.ts'

export interface MovingTransportOptions {
  readonly from: Transport
  readonly to: Transport
  readonly records: MoveRecords
  /** How far the clocks of the two brokers can be apart, and how old their answers, in milliseconds. */
  readonly margin: number
  /** What is read at both all the time: it needs no order, and whoever handles it takes a repetition for what it is. */
  readonly isReadAtBoth?: (subscription: string) => boolean
  readonly clock?: Clock
  readonly logger?: Logger
}

export interface MovingTransport extends Transport {
  /** Tells every subscription of the topic, through the new broker, that its owner publishes to both. */
  mark(topic: string, fence: Fence): Promise<void>
}

export function isMoving(transport: Transport): transport is MovingTransport {
  return typeof (transport as Partial<MovingTransport>).mark === 'function'
}

/**
 * Two brokers as one, while a team moves from the first to the second: everything is sent to both, and each subscription is read at the old
 * one until it is proven that the new one has all that is left (see {@link proveCaughtUp}). Then it is read there, from where its queue there
 * begins: what was handled already is a repetition, and what was not comes in order. Throws COMITY_TRANSPORT_UNSUPPORTED where the old
 * broker can't say what it still has.
 */
export function movingTransport(options: MovingTransportOptions): MovingTransport {
  const { from, to, records, margin, isReadAtBoth = () => false, clock = systemClock, logger = silentLogger } = options
  if (from.stats === undefined)
    throw new TransportUnsupported({
      transport: from.name,
      reason: 'it does not say what is not acknowledged, so nothing shows when it can be left',
      remedy: 'stop what publishes, wait until every subscription is idle, then start everything on the new transport',
    })
  const both = [from, to] as const
  const closed = new AbortController()
  const guarantees = commonGuarantees(from.guarantees, to.guarantees)

  async function receive(subscription: string, handler: DeliveryHandler, options: ReceiveOptions): Promise<void> {
    const data = withoutMovingMarks(handler)
    // Already closed: it is the brokers' to say so.
    const given = closed.signal.aborted ? options : { ...options, signal: AbortSignal.any([options.signal, closed.signal]) }
    if (isReadAtBoth(subscription)) return receiveAtBoth(subscription, data, given)
    const switched = async (): Promise<boolean> => (await records.progress(subscription)).switched
    if (!(await switched()) && !given.signal.aborted) {
      const end = new AbortController()
      const signal = AbortSignal.any([given.signal, end.signal])
      const proof = { from, to, records, subscription, margin, clock, logger, signal }
      const proving = proveCaughtUp(proof).then(() => end.abort())
      try {
        await from.receive(subscription, data, { ...given, signal })
      } finally {
        end.abort()
        await proving
      }
      if (given.signal.aborted) return
      logEvent(logger, 'comity.move.switched', { subscription })
    }
    return to.receive(subscription, data, given)
  }

  async function receiveAtBoth(subscription: string, handler: DeliveryHandler, given: ReceiveOptions): Promise<void> {
    const end = new AbortController()
    const signal = AbortSignal.any([given.signal, end.signal])
    const beside = (async () => {
      for (let failures = 0; !signal.aborted; failures++) {
        await to.receive(subscription, handler, { ...given, signal }).catch((error: unknown) => {
          if (failures === 0 && !signal.aborted) logEvent(logger, 'comity.move.not_looked', { subscription, error })
        })
        await clock.sleep(backoff(failures, { min: 100, max: 10_000 }) + 50, signal)
      }
    })()
    try {
      await from.receive(subscription, handler, { ...given, signal })
    } finally {
      end.abort()
      await beside
    }
  }

  async function claim(identity: Identity): Promise<ClaimResult> {
    let highestVersion = 0
    for (const one of both) {
      const result = (await one.claim?.(identity)) ?? { status: 'granted', highestVersion: 0 }
      if (result.status === 'refused') return result
      highestVersion = Math.max(highestVersion, result.highestVersion)
    }
    return { status: 'granted', highestVersion }
  }

  /** Of each subscription where it is read now. */
  async function stats(subscriptions: readonly string[]): Promise<readonly SubscriptionStats[]> {
    const there = await records.switched(subscriptions)
    const ask = async (one: Transport, names: readonly string[]) => (names.length === 0 ? [] : ((await one.stats?.(names)) ?? []))
    const answers = [
      ...(await ask(
        from,
        subscriptions.filter((name) => !there.has(name)),
      )),
      ...(await ask(
        to,
        subscriptions.filter((name) => there.has(name)),
      )),
    ]
    return subscriptions.flatMap((name) => answers.find(({ subscription }) => subscription === name) ?? [])
  }

  const transport: MovingTransport = {
    name: `${from.name}→${to.name}`,
    guarantees,
    async provision(plan, given) {
      const [there, here] = await Promise.all(both.map((one) => one.provision(plan, given)))
      return oncePerObject([...(there ?? []), ...(here ?? [])])
    },
    send: (topic, messages, given) => sendToBoth(both, guarantees.limits, topic, messages, given),
    receive,
    // Powers of two: keys that are in each bucket of the larger number are in each of the smaller.
    buckets: async (topic) => Math.max(...(await Promise.all(both.map((one) => one.buckets(topic))))),
    // What is sent goes to both, so it is read wherever its reader has come to.
    isSubscribed: async (topic, subscription) =>
      (await Promise.all(both.map((one) => one.isSubscribed(topic, subscription)))).includes(true),
    async mark(topic, fence) {
      await to.send(topic, [movingMark()], { fence })
    },
    ...(guarantees.claims && { claim }),
    ...(guarantees.stats && { stats }),
    ...(guarantees.replay && {
      // Where it is read. The old broker's position being another one, what is left there has to be proven anew.
      async seek(subscription, target) {
        await ((await records.restart(subscription)) ? from : to).seek?.(subscription, target)
      },
    }),
    ...(guarantees.remove && {
      async remove(what) {
        for (const one of both) await one.remove?.(what)
      },
    }),
    ...(guarantees.access.length > 0 && to.access && { access: to.access.bind(to) }),
    async close() {
      closed.abort()
      await Promise.all(both.map((one) => one.close()))
    },
    [Symbol.asyncDispose]: () => transport.close(),
  }
  return transport
}

/** What both brokers lacked is said once. */
function oncePerObject(steps: readonly ProvisionStep[]): readonly ProvisionStep[] {
  return [...new Map(steps.map((step) => [`${step.action} ${step.name}`, step])).values()]
}
