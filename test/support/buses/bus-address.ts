import { type OpenTransport, postgresTransport, type Transport } from 'comity/transport'
import { remoteTransport } from '../remote-transport/remote-transport.ts'

export const BUS_KINDS = ['memory', 'postgres', 'nats', 'google-pubsub'] as const
export type BusKind = (typeof BUS_KINDS)[number]

/** All that another process needs to open a bus by itself; goes through JSON. */
export interface BusAddress {
  readonly kind: BusKind
  readonly url: string
}

export interface OpenBusSettings {
  /** How long a receiver's bucket stays its own after it was last heard of, in milliseconds; where the bus takes it. */
  readonly bucketLease?: number
  /** After how long a silent connection is given up, in milliseconds; where the bus takes it. */
  readonly answerTimeout?: number
}

/** A connection of this process to a bus, wherever that runs. */
export async function openBus({ kind, url }: BusAddress, { bucketLease, answerTimeout }: OpenBusSettings = {}): Promise<Transport> {
  if (kind === 'memory') return remoteTransport(url, answerTimeout === undefined ? {} : { answerTimeout })
  const given = {
    ...(bucketLease === undefined ? {} : { leaseMs: bucketLease }),
    ...(answerTimeout === undefined ? {} : { answerTimeout }),
  }
  if (kind === 'postgres') return postgresTransport({ url, allowUnsafe: true, ...given })
  const open = await opens(kind)
  if (open === undefined) throw new Error(`@comity/${kind} opens no transport`)
  return open(url, { allowUnsafe: true, ...given })
}

/** Of the package of a broker. */
export async function opens(kind: 'nats' | 'google-pubsub'): Promise<OpenTransport | undefined> {
  const loaded = await (kind === 'nats' ? import('@comity/nats') : import('@comity/google-pubsub'))
  return (loaded as { readonly openTransport?: OpenTransport }).openTransport
}

/** The same bus, its broker reached at another port of this machine. */
export function atPort(address: BusAddress, port: number): BusAddress {
  const url = new URL(address.url)
  if (address.kind === 'google-pubsub') url.searchParams.set('emulator', `127.0.0.1:${port}`)
  else Object.assign(url, { hostname: '127.0.0.1', port: String(port) })
  return { ...address, url: url.href }
}

/** Where its broker listens. */
export function portOf({ kind, url }: BusAddress): number {
  const { port, searchParams } = new URL(url)
  return Number(kind === 'google-pubsub' ? searchParams.get('emulator')?.split(':').at(-1) : port)
}
