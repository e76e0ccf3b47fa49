import type { Transport } from 'comity/transport'
import { type LawBroker, transportLaws } from 'comity/testing'
import { afterAll, describe, test } from 'vitest'
import { brokerIsHere, launchBroker } from '../../../scripts/brokers.mjs'
import { type TcpProxy, tcpProxy } from '../../comity/test/transport/tcp-proxy.ts'
import { googlePubsubGuarantees, googlePubsubTransport } from '../src/index.ts'

const forgets = 'the emulator keeps everything in memory: what a restart leaves of it is nothing'

describe.skipIf(!brokerIsHere('google-pubsub'))("Google's emulator", () => {
  transportLaws(
    {
      name: 'google-pubsub',
      guarantees: googlePubsubGuarantees,
      // What a dead process held comes again after its ack deadline, which is 10 s at least.
      patience: 30_000,
      skip: {
        'an acknowledged send survives a restart of the broker': forgets,
        'a receive goes on by itself after the broker restarted, and says so': forgets,
      },
      create,
    },
    { describe, test, afterAll },
  )

  /** Each client behind a proxy of its own, so that it can be cut off. */
  async function create(): Promise<LawBroker> {
    const broker = await launchBroker('google-pubsub')
    const proxies = new Map<Transport, TcpProxy>()
    return {
      async connect() {
        const proxy = await tcpProxy({ host: '127.0.0.1', port: broker.port })
        const transport = googlePubsubTransport({
          project: 'comity',
          emulator: `127.0.0.1:${proxy.port}`,
          ackDeadline: '10s',
          closeGrace: '300ms',
        })
        proxies.set(transport, proxy)
        return transport
      },
      crash: async (transport) => proxies.get(transport)?.cut(),
      dispose: () => broker.close(),
    }
  }
})
