import type { Transport } from './transport.ts'

/** The same transport with some of its methods replaced. The others are called on the transport itself, whatever it is made of. */
export function decorateTransport(inner: Transport, methods: Partial<Pick<Transport, 'send' | 'receive'>>): Transport {
  const { claim, stats, seek, remove, access } = inner
  return {
    name: inner.name,
    guarantees: inner.guarantees,
    provision: (plan, options) => inner.provision(plan, options),
    send: (topic, messages, options) => inner.send(topic, messages, options),
    receive: (subscription, handler, options) => inner.receive(subscription, handler, options),
    buckets: (topic) => inner.buckets(topic),
    isSubscribed: (topic, subscription) => inner.isSubscribed(topic, subscription),
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    ...(claim && { claim: claim.bind(inner) }),
    ...(stats && { stats: stats.bind(inner) }),
    ...(seek && { seek: seek.bind(inner) }),
    ...(remove && { remove: remove.bind(inner) }),
    ...(access && { access: access.bind(inner) }),
    ...methods,
  }
}
