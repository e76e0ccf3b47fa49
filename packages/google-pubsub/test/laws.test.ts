import { type LawBroker, transportLaws } from 'comity/testing'
import type { Transport } from 'comity/transport'
import { afterAll, describe, test } from 'vitest'
import { brokerIsHere, launchBroker } from '../../../scripts/brokers.mjs'
import { type TcpProxy, tcpProxy } from '../../../test/support/cuttable-proxy.ts'
import { googlePubsubGuarantees, googlePubsubTransport } from '../src/index.ts'
import { SKIPPED_LAWS } from './skipped-laws.ts'

describe.skipIf(!brokerIsHere('google-pubsub'))("Google's emulator", () => {
  transportLaws(
    {
      name: 'google-pubsub',
      guarantees: googlePubsubGuarantees,
      skip: SKIPPED_LAWS,
      create,
      // What a dead client had comes again after its deadline, which is ten seconds at least.
      patience: 25_000,
    },
    { describe, test, afterAll },
  )

  async function create(): Promise<LawBroker> {
    const broker = await launchBroker('google-pubsub')
    const proxies = new Map<Transport, TcpProxy>()
    return {
      async connect() {
        const proxy = await tcpProxy({ host: '127.0.0.1', port: broker.port })
        const emulator = `127.0.0.1:${proxy.port}`
        const transport = googlePubsubTransport({ project: 'comity', emulator, ackDeadline: '10s', closeGrace: '300ms' })
        proxies.set(transport, proxy)
        return transport
      },
      crash: async (transport) => proxies.get(transport)?.cut(),
      dispose: () => broker.close(),
    }
  }
})
