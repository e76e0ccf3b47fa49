import { NatsUrlInvalid } from './errors.ts'

export interface NatsAddress {
  /** `host:port` each. */
  readonly servers: readonly string[]
  readonly user?: string
  readonly password?: string
  readonly token?: string
  readonly parameters: ReadonlyMap<string, string>
}

const shape = /^(?:nats|tls):\/\/(?:([^@/?]*)@)?([^/?#]+)\/?(?:\?([^#]*))?$/i

/** Of `nats://user:password@host:port,host2?name=value`; a user without a password is a token. Never says what is in it: it may hold a password. */
export function parseNatsUrl(url: string): NatsAddress {
  const [, credentials, hosts, query] = shape.exec(url) ?? []
  if (hosts === undefined) throw new NatsUrlInvalid({ reason: 'it has another shape' })
  const servers = hosts.split(',').map((host) => host.trim())
  for (const server of servers) {
    if (!/^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/.test(server))
      throw new NatsUrlInvalid({ reason: 'a host in it is no name and no address' })
  }
  const parameters = new Map(new URLSearchParams(query ?? ''))
  if (credentials === undefined) return { servers, parameters }
  const [user, password] = credentials.split(/:(.*)/s, 2).map(decoded)
  return { servers, parameters, ...(password === undefined ? { token: user as string } : { user: user as string, password }) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new NatsUrlInvalid({ reason: 'a % in its user or password begins no code' })
  }
}
