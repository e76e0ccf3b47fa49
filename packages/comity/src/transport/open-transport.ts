import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Logger } from '../foundation/index.ts'
import { TransportNotInstalled, TransportUrlUnknown } from './errors.ts'
import { postgresTransport } from './postgres/postgres-transport.ts'
import type { Transport } from './transport.ts'

/** For a transport that is opened here; a value has its own. */
export interface OpenTransportOptions {
  /** Accept a server that can lose acknowledged messages: tests only. */
  readonly allowUnsafe?: boolean
  readonly logger?: Logger
}

/** What a package named `@comity/<scheme>` exports as `openTransport`, so that a URL alone says which broker it is. */
export type OpenTransport = (url: string, options: OpenTransportOptions) => Transport

/**
 * What a configuration names as its transport: a URL, or any Transport value as it is. `postgres://…` is built in; any other scheme is the name of
 * the package that knows it: `nothing-yet://…` is opened by `@comity/nothing-yet`.
 */
export function openTransport(transport: string | Transport, options: OpenTransportOptions = {}): Transport {
  if (typeof transport !== 'string') return transport
  const scheme = /^([a-z][a-z0-9-]*):/i.exec(transport)?.[1]?.toLowerCase()
  if (scheme === 'postgres' || scheme === 'postgresql') return postgresTransport({ url: transport, ...options })
  if (scheme === 'memory')
    throw new TransportUrlUnknown({
      url: 'memory:',
      remedy: 'a bus in memory is a value, not a URL: create it by memoryBus() and pass bus.connect()',
    })
  // Never the whole URL: it may hold a password.
  if (scheme === undefined)
    throw new TransportUrlUnknown({
      url: 'a text without a scheme',
      remedy: 'give a URL, such as postgres://…, or a transport value from its own package',
    })
  return load(scheme)(transport, options)
}

/** Asked of the application first, for it is what has the package installed; then of what is installed beside the engine. */
function load(scheme: string): OpenTransport {
  const name = `@comity/${scheme}`
  for (const from of [join(process.cwd(), 'package.json'), import.meta.url]) {
    let loaded: { readonly openTransport?: OpenTransport }
    try {
      loaded = createRequire(from)(name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' && String(error).includes(`'${name}'`)) continue
      throw error
    }
    if (typeof loaded.openTransport === 'function') return loaded.openTransport
    break
  }
  throw new TransportNotInstalled({ scheme, name })
}
