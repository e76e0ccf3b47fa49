import type { Logger } from '../foundation/index.ts'
import { TransportUrlUnknown } from './errors.ts'
import { postgresTransport } from './postgres/postgres-transport.ts'
import type { Transport } from './transport.ts'

/** For a transport that is opened here; a value has its own. */
export interface OpenTransportOptions {
  /** Accept a server that can lose acknowledged messages: tests only. */
  readonly allowUnsafe?: boolean
  readonly logger?: Logger
}

/** What a configuration names as its transport: a URL of the embedded default, or any Transport value as it is. */
export function openTransport(transport: string | Transport, options: OpenTransportOptions = {}): Transport {
  if (typeof transport !== 'string') return transport
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(transport)?.[1]?.toLowerCase()
  if (scheme === 'postgres' || scheme === 'postgresql') return postgresTransport({ url: transport, ...options })
  // Never the whole URL: it may hold a password.
  const url = scheme === undefined ? 'a text without a scheme' : `${scheme}:`
  const remedy =
    scheme === 'memory'
      ? 'a bus in memory is a value, not a URL: create it by memoryBus() and pass bus.connect()'
      : 'give a URL that begins with postgres://, or a transport value from its own package'
  throw new TransportUrlUnknown({ url, remedy })
}
