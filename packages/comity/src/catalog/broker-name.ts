import type { Transport } from '../transport/index.ts'

/** What a broker is called in records and messages: scheme, host and path of its URL, never user, password or settings; of a value, its name. */
export function brokerNameOf(transport: string | Transport): string {
  if (typeof transport !== 'string') return transport.name
  return transport.replace(/^([a-z][a-z0-9-]*:\/\/)(?:[^/]*@)?([^?#]*).*$/is, '$1$2')
}
