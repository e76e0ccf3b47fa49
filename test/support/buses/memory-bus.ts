import { memoryBus } from 'comity/transport'
import { overlappingBus } from '../overlapping-bus.ts'
import { TransportServer } from '../remote-transport/transport-server.ts'
import { type Bus, busAt, type LaunchBusOptions } from './bus.ts'

/** In this process, which nobody kills, and offered to others over a socket. It has no broker that could be hurt; its network can. */
export async function launchMemoryBus(options: LaunchBusOptions & { readonly overlapping?: boolean } = {}): Promise<Bus> {
  const given = options.claimSilence === undefined ? {} : { claimSilence: options.claimSilence }
  const bus = options.overlapping ? overlappingBus(given) : memoryBus(given)
  const server = await TransportServer.start(() => bus.connect())
  // Here without a detour over the socket.
  const connect = async () => bus.connect()
  return busAt({ kind: 'memory', url: server.url }, undefined, () => server.close(), connect)
}
