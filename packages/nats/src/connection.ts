import { ComityError } from '@comity/contract'
import type { ConnectionOptions, Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node'
import {
  AuthorizationError,
  connect,
  InvalidArgumentError,
  NoRespondersError,
  PermissionViolationError,
  UserAuthenticationExpiredError,
} from '@nats-io/transport-node'
import { TransportClosed, TransportFailed, TransportForbidden, TransportUnavailable } from 'comity/transport'
import { NatsPayloadTooSmall, NatsServerTooOld } from './errors.ts'
import { framesOf, type Publish } from './publish-frames.ts'

export interface ConnectionSettings {
  readonly client: ConnectionOptions
  /** How long a request may go unanswered, in milliseconds. */
  readonly answerTimeout: number
  /** Bytes that the server must take in one message, headers and all. */
  readonly payloadNeeded: number
}

/** What JetStream's API answers: the thing itself or an error. Source: nats-server/server/jetstream_api.go and errors.json. */
export type ApiAnswer<T> = T & { readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string } }

/** What the client library's own `publish` ends in. It is not of its public API, so the library's version is pinned. */
interface Protocol {
  sendCommand(bytes: Uint8Array): void
}

interface Listener {
  lost(error: Error): void
  back(): void
}

/**
 * The one connection of a transport.
 *
 *   unused ──client()──▶ connecting ──▶ up ⇄ down (the client library connects again, for ever; requests are refused meanwhile)
 *                          └─ refused: the next use tries again          any ──close──▶ closed
 *
 * Every request ends: by its answer, after `answerTimeout`, or at once when the connection is lost. Its errors are the transport layer's.
 */
export class Connection {
  readonly listeners: Set<Listener> = new Set()
  readonly #settings: ConnectionSettings
  readonly #waiting = new Set<(error: Error) => void>()
  #connecting: Promise<NatsConnection> | undefined
  #client: NatsConnection | undefined
  #lost: Error | undefined
  #closed: Promise<void> | undefined

  constructor(settings: ConnectionSettings) {
    this.#settings = settings
  }

  /** The connected client; rejects while it is not connected. */
  async client(): Promise<NatsConnection> {
    if (this.#closed !== undefined) throw new TransportClosed({ transport: 'nats' })
    if (this.#client === undefined) {
      this.#connecting ??= this.#open().finally(() => {
        this.#connecting = undefined
      })
      await this.#connecting
    }
    if (this.#lost) throw unavailable(this.#lost.message, this.#lost)
    return this.#client as NatsConnection
  }

  async request(subject: string, payload: Uint8Array | string = '', headers?: MsgHdrs): Promise<Msg> {
    const client = await this.client()
    return new Promise((resolve, reject) => {
      const end = (error: Error): void => reject(error)
      this.#waiting.add(end)
      client
        .request(subject, payload, { timeout: this.#settings.answerTimeout, ...(headers && { headers }) })
        .then(resolve, (error: unknown) => reject(translate(error, subject)))
        .finally(() => this.#waiting.delete(end))
    })
  }

  /** Publishes without an answer, in order with everything else that is sent. */
  async publish(publishes: Iterable<Publish>): Promise<void> {
    const { protocol } = (await this.client()) as unknown as { readonly protocol: Protocol }
    for (const bytes of framesOf(publishes)) protocol.sendCommand(bytes)
  }

  /** Asks JetStream; an answer that is an error is an answer. */
  async ask<T>(verb: string, body?: object): Promise<ApiAnswer<T>> {
    return (await this.request(`$JS.API.${verb}`, body ? JSON.stringify(body) : '')).json<ApiAnswer<T>>()
  }

  /** Asks JetStream for what it cannot refuse, save for reasons that nobody here can mend. */
  async demand<T>(verb: string, body?: object): Promise<T> {
    const answer = await this.ask<T>(verb, body)
    if (answer.error) throw refusal(answer.error, verb)
    return answer
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      const client = this.#client ?? (await this.#connecting?.catch(() => undefined))
      this.#end(new TransportClosed({ transport: 'nats' }))
      await client?.close()
    })()
    return this.#closed
  }

  async #open(): Promise<NatsConnection> {
    let client: NatsConnection
    try {
      client = await connect(this.#settings.client)
    } catch (error) {
      throw translate(error, 'connect')
    }
    try {
      this.#inspect(client)
    } catch (error) {
      await client.close()
      throw error
    }
    const isBack = this.#lost !== undefined
    this.#client = client
    this.#lost = undefined
    void this.#follow(client)
    if (isBack) for (const listener of [...this.listeners]) listener.back()
    return client
  }

  #inspect({ info }: NatsConnection): void {
    const version = info?.version ?? 'of unknown version'
    const [major = 0, minor = 0] = version.split('.').map(Number)
    if (!(major > 2 || (major === 2 && minor >= 9))) throw new NatsServerTooOld({ version })
    const given = info?.max_payload ?? 0
    if (given < this.#settings.payloadNeeded) {
      throw new NatsPayloadTooSmall({ given: String(given), needed: String(this.#settings.payloadNeeded) }, { limit: String(given) })
    }
  }

  async #follow(client: NatsConnection): Promise<void> {
    void client.closed().then((error) => {
      if (this.#client !== client || this.#closed !== undefined) return
      // The library gave up, which it does after refused passwords: the next use connects anew.
      this.#client = undefined
      this.#lose(error instanceof Error ? error : unavailable('the connection was closed'))
    })
    for await (const status of client.status()) {
      if (status.type === 'disconnect') this.#lose(unavailable(`${status.server} has closed the connection or does not answer`))
      if (status.type === 'reconnect') {
        this.#lost = undefined
        for (const listener of [...this.listeners]) listener.back()
      }
    }
  }

  #lose(error: Error): void {
    this.#lost = error
    this.#end(unavailable(error.message, error))
    for (const listener of [...this.listeners]) listener.lost(translate(error, 'connect'))
  }

  #end(error: Error): void {
    for (const reject of this.#waiting) reject(error)
    this.#waiting.clear()
  }
}

/** Whether waiting and repeating can help. */
export function isPassing(error: unknown): boolean {
  return error instanceof TransportUnavailable
}

export function unavailable(reason: string, cause?: unknown): Error {
  return new TransportUnavailable({ transport: 'nats', reason }, { cause })
}

/** An error of JetStream's API that no caller knows what to do about. */
export function refusal(error: NonNullable<ApiAnswer<object>['error']>, what: string): Error {
  const reason = `${what}: ${error.description ?? 'no reason given'} (${error.err_code ?? error.code})`
  // 503: no leader, no space, starting: it may pass.
  return error.code === 503 ? unavailable(reason) : new TransportFailed({ transport: 'nats', reason })
}

/** Any error of the client library as one of the transport layer. */
export function translate(error: unknown, what: string): ComityError {
  if (error instanceof ComityError) return error
  const given = error as Error & { readonly cause?: unknown }
  const known = [given, given.cause]
  const is = (type: new (...args: never[]) => Error): boolean => known.some((each) => each instanceof type)
  if (is(AuthorizationError) || is(UserAuthenticationExpiredError)) {
    return new TransportForbidden(
      {
        transport: 'nats',
        reason: given.message,
        remedy: 'check user and password of the URL; transport.access(plan) writes the users of nats-server.conf',
      },
      { cause: error },
    )
  }
  if (is(PermissionViolationError)) {
    return new TransportForbidden(
      {
        transport: 'nats',
        reason: given.message,
        remedy:
          'a team needs the permissions that transport.access(plan) writes for nats-server.conf, and ?team=<team> in its URL; `comity provision` needs the operator',
      },
      { cause: error },
    )
  }
  if (is(NoRespondersError)) return unavailable(`nobody answers ${what}: JetStream is starting, or not enabled`, error) as ComityError
  if (is(InvalidArgumentError)) return new TransportFailed({ transport: 'nats', reason: given.message }, { cause: error })
  return unavailable(given.message, error) as ComityError
}
