import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launchPostgres } from '@comity/embedded-postgres'
import { afterAll, describe, test } from 'vitest'
import { type TcpProxy, tcpProxy } from '../../../../test/support/cuttable-proxy.ts'
import { onEachPostgres } from '../../../../test/support/postgres.ts'
import { type LawBroker, transportLaws } from '../../src/testing/transport-laws.ts'
import { migrateBus, postgresGuarantees, postgresTransport, type Transport } from '../../src/transport/index.ts'

const claimSilence = 400

onEachPostgres('the bus', (source) => {
  transportLaws({ name: 'postgres', guarantees: postgresGuarantees, claimSilence, create }, { describe, test, afterAll })

  /** A server of its own, because laws crash it; each client behind a proxy of its own, so that it can be cut off. */
  async function create(): Promise<LawBroker> {
    const directory = await mkdtemp(join(tmpdir(), 'comity-bus-'))
    const launch = { directory, source, ...(source === 'system' ? { major: 15 } : {}), settings: { max_connections: '100' } }
    let server = await launchPostgres(launch)
    const { port } = server
    const url = await server.createDatabase('bus')
    await migrateBus({ url, claimSilence })
    const proxies = new Map<Transport, TcpProxy>()
    return {
      async connect() {
        const proxy = await tcpProxy({ host: '127.0.0.1', port })
        const through = new URL(url)
        through.port = String(proxy.port)
        const transport = postgresTransport({ url: through.href, leaseMs: 1500, closeGrace: 300 })
        proxies.set(transport, proxy)
        return transport
      },
      crash: async (transport) => proxies.get(transport)?.cut(),
      async restartBroker() {
        await server.kill('immediate')
        server = await launchPostgres({ ...launch, port })
      },
      async dispose() {
        await server.close()
        await rm(directory, { recursive: true, force: true })
      },
    }
  }
})
