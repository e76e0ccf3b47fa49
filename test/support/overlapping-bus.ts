import { type MemoryBus, type MemoryBusOptions, type MemoryTransport, memoryBus, type ProvisionPlan } from 'comity/transport'

/**
 * A bus in memory without `oneProcessPerBucket`, at its worst: each of a subscription's receivers gets ALL of its messages, at the same time as
 * the others do. What each of them gets has no hole and begins at or before what has been acknowledged, as where a broker moves a bucket while
 * its messages are still at the one who had it. A message is done as soon as one receiver has acknowledged it.
 *
 * A receiver has a private copy of the subscription, and whoever comes next goes on with a copy that is free.
 */
export function overlappingBus(options: MemoryBusOptions = {}): MemoryBus {
  const inner = memoryBus(options)
  const guarantees = Object.freeze({ ...inner.guarantees, oneProcessPerBucket: false })
  const taken = new Set<string>()

  function connect(): MemoryTransport {
    const transport = inner.connect()
    return {
      ...transport,
      guarantees,
      async provision(plan, given) {
        const subscriptions = plan.subscriptions.flatMap((one) => copiesOf(one.name).map((name) => ({ ...one, name })))
        const steps = await transport.provision({ ...plan, subscriptions } satisfies ProvisionPlan, given)
        return steps.flatMap((step) => {
          if (step.action === 'create-topic') return [step]
          return step.name.endsWith('~0') ? [{ ...step, name: step.name.slice(0, -2) }] : []
        })
      },
      isSubscribed: (topic, subscription) => transport.isSubscribed(topic, copiesOf(subscription)[0] as string),
      async receive(name, handler, given) {
        const copy = copiesOf(name).find((one) => !taken.has(one)) as string
        taken.add(copy)
        try {
          await transport.receive(copy, handler, given)
        } finally {
          taken.delete(copy)
        }
      },
      async stats(names) {
        return Promise.all(
          names.map(async (subscription) => {
            const copies = await transport.stats(copiesOf(subscription))
            const [ahead] = [...copies].sort((a, b) => a.backlog - b.backlog)
            return { ...ahead, subscription, backlog: ahead?.backlog ?? 0 }
          }),
        )
      },
      async seek(name, to) {
        await Promise.all(copiesOf(name).map((copy) => transport.seek(copy, to)))
      },
      remove: ({ subscriptions = [], ...what }) => transport.remove({ ...what, subscriptions: subscriptions.flatMap(copiesOf) }),
    }
  }
  return { guarantees, connect }
}

function copiesOf(name: string): string[] {
  return Array.from({ length: COPIES }, (_, n) => `${name}~${n}`)
}
/** The most receivers of a subscription at once. */
const COPIES = 8
