import type { Transport } from 'comity/transport'
import { TcpProxy } from '../tcp-proxy.ts'
import { atPort, type BusAddress, type BusKind, type OpenBusSettings, openBus, portOf } from './bus-address.ts'

/** A bus under test, whichever it is: what a scenario may do with it and to it. */
export interface Bus extends AsyncDisposable {
  readonly kind: BusKind
  /** By which any process opens it. */
  readonly address: BusAddress
  /** Its broker where that is a process of its own, which can be hurt. */
  readonly broker: Broker | undefined
  /** A connection of this process. */
  connect(settings?: OpenBusSettings): Promise<Transport>
  /** A TCP proxy in front of it; whoever starts it closes it. */
  proxy(): Promise<TcpProxy>
  /** The bus as it is reached through one of its proxies. */
  through(proxy: TcpProxy): BusAddress
}

export interface Broker {
  readonly pid: number
  /** False: what it was given is gone when it is killed, so that no scenario may kill it and expect anything. */
  readonly keepsMessages: boolean
  /** kill -9. */
  kill(): Promise<void>
  /** On the same port and files, after {@link kill}. */
  restart(): Promise<void>
  /** SIGSTOP: its connections stay, and nobody answers. */
  pause(): void
  resume(): void
}

export interface LaunchBusOptions {
  /** How long a life of a team must be silent before another may follow, in milliseconds; where the bus takes it. */
  readonly claimSilence?: number
  /** A server of its own, so that its broker can be hurt; Postgres' is shared otherwise. */
  readonly own?: boolean
}

/** What all of them have in common. */
export function busAt(address: BusAddress, broker: Broker | undefined, close: () => Promise<void>, open = openBus): Bus {
  return {
    kind: address.kind,
    address,
    broker,
    connect: (settings) => open(address, settings),
    proxy: () => TcpProxy.to({ host: '127.0.0.1', port: portOf(address) }),
    through: (proxy) => atPort(address, proxy.port),
    [Symbol.asyncDispose]: close,
  }
}
