import { launchBrokerBus } from './broker-bus.ts'
import type { Bus, LaunchBusOptions } from './bus.ts'
import type { BusKind } from './bus-address.ts'
import { launchMemoryBus } from './memory-bus.ts'
import { launchPostgresBus } from './postgres-bus.ts'

export async function launchBus(kind: BusKind, options: LaunchBusOptions = {}): Promise<Bus> {
  if (kind === 'memory') return launchMemoryBus(options)
  return kind === 'postgres' ? launchPostgresBus(options) : launchBrokerBus(kind)
}
