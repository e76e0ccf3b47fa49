import { brokerIsHere } from '../../../scripts/brokers.mjs'
import { launchBrokerBus } from './broker-bus.ts'
import type { Bus, LaunchBusOptions } from './bus.ts'
import { type BusKind, opens } from './bus-address.ts'
import { launchMemoryBus } from './memory-bus.ts'
import { launchPostgresBus } from './postgres-bus.ts'

export async function launchBus(kind: BusKind, options: LaunchBusOptions = {}): Promise<Bus> {
  if (kind === 'memory') return launchMemoryBus(options)
  return kind === 'postgres' ? launchPostgresBus(options) : launchBrokerBus(kind, options)
}

/** Why this bus cannot be launched here; undefined = it can. Where it has to be (CI), what is missing is no reason, and whoever needs it fails. */
export async function missing(kind: BusKind): Promise<string | undefined> {
  if (kind === 'memory' || kind === 'postgres') return undefined
  if (!(await opens(kind))) return `@comity/${kind} opens no transport yet`
  return brokerIsHere(kind) ? undefined : `${kind} is not installed`
}
