import { transportLaws } from 'comity/testing'
import { memoryBus } from 'comity/transport'
import { afterAll, describe, test } from 'vitest'
import { type RemoteTransport, remoteTransport } from './remote-transport/remote-transport.ts'
import { TransportServer } from './remote-transport/transport-server.ts'

const bus = memoryBus({ claimSilence: 300 })

// What teams in other processes are given in place of a broker keeps every law that the bus itself keeps.
transportLaws(
  {
    name: 'memory, over a socket',
    guarantees: bus.guarantees,
    claimSilence: 300,
    async create() {
      const server = await TransportServer.start(() => bus.connect())
      return {
        connect: () => remoteTransport(server.url),
        crash: async (transport) => (transport as RemoteTransport).crash(),
        dispose: () => server.close(),
      }
    },
  },
  { describe, test, afterAll },
)
