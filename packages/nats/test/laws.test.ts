import { type LawBroker, transportLaws } from 'comity/testing'
import type { Transport } from 'comity/transport'
import { afterAll, describe, test } from 'vitest'
import { launchBroker } from '../../../scripts/brokers.mjs'
import { type TcpProxy, tcpProxy } from '../../../test/support/cuttable-proxy.ts'
import { natsGuarantees, natsTransport } from '../src/index.ts'
import { onNats } from './nats-server.ts'

const claimSilence = 400

onNats('a real nats-server', () => {
  transportLaws({ name: 'nats', guarantees: natsGuarantees, claimSilence, create }, { describe, test, afterAll })

  /** A server of its own, because laws crash it; each client behind a proxy of its own, so that it can be cut off. */
  async function create(): Promise<LawBroker> {
    const server = await launchBroker('nats')
    const proxies = new Map<Transport, TcpProxy>()
    return {
      async connect() {
        const proxy = await tcpProxy({ host: '127.0.0.1', port: server.port })
        const transport = natsTransport({
          url: `nats://127.0.0.1:${proxy.port}?sync=interval`,
          leaseMs: 1500,
          closeGrace: 300,
          claimSilence,
        })
        proxies.set(transport, proxy)
        return transport
      },
      crash: async (transport) => proxies.get(transport)?.cut(),
      async restartBroker() {
        await server.kill()
        await server.restart()
      },
      dispose: () => server.close(),
    }
  }
})
