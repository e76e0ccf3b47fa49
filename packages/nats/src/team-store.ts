import type { MsgHdrs } from '@nats-io/transport-node'
import { TransportFailed } from 'comity/transport'
import { type ApiAnswer, type Connection, refusal } from './connection.ts'
import { NatsTeamUnknown } from './errors.ts'
import { peekOf, storeOf } from './names.ts'
import { rawHeaders } from './wire-message.ts'

export interface Stored<T> {
  readonly value: T
  /** Grows with each change of the key: what compare-and-set compares. */
  readonly revision: number
  /** By the server's clock. */
  readonly storedAt: Date
}

interface MessageAnswer {
  readonly message: { readonly seq: number; readonly data?: string; readonly time: string }
}
interface PublishAnswer {
  readonly seq: number
}

const WRONG_LAST_SEQUENCE = 10071
const NO_MESSAGE = 10037
const NO_STREAM = 10059

/**
 * The leases, positions and claims of one team: a key-value bucket of JetStream, spoken to directly, so that every subject that is used is one
 * that `access` grants. Reads go to the leader, never to a replica that may be behind.
 */
export class TeamStore {
  readonly team: string
  readonly #connection: Connection
  readonly #bucket: string

  constructor(connection: Connection, team: string) {
    this.team = team
    this.#connection = connection
    this.#bucket = storeOf(team)
  }

  /** Of a key, undefined if it is not there. */
  async get<T>(key: string): Promise<Stored<T> | undefined> {
    const verb = `STREAM.MSG.GET.KV_${this.#bucket}`
    const answer = await this.#connection.ask<MessageAnswer>(verb, { last_by_subj: this.#subject(key) })
    if (answer.error?.err_code === NO_MESSAGE) return undefined
    if (answer.error?.err_code === NO_STREAM) throw new NatsTeamUnknown({ team: this.team })
    if (answer.error) throw refusal(answer.error, verb)
    const { seq, data = '', time } = answer.message
    return { value: JSON.parse(Buffer.from(data, 'base64').toString()) as T, revision: seq, storedAt: new Date(time) }
  }

  /**
   * Of one key, by a subject that names it, so that the right to this one alone can be given. A replica may answer that is behind. Undefined if the
   * key is not there; where there is no store of that team the server does not answer at all.
   */
  async peek<T>(key: string): Promise<T | undefined> {
    const subject = peekOf(this.team, key)
    const found = await this.#connection.request(subject)
    const { code = 0, description = 'no answer' } = found.headers ?? {}
    if (code === 404) return undefined
    if (code >= 300) throw new TransportFailed({ transport: 'nats', reason: `${subject}: ${description}` })
    return found.json<T>()
  }

  /** Writes the key if its revision is still the given one (0: it is not there). Answers the new revision; undefined = somebody was faster. */
  async compareAndSet(key: string, value: unknown, revision: number): Promise<number | undefined> {
    const answer = await this.#put(key, value, rawHeaders(`Nats-Expected-Last-Subject-Sequence: ${revision}\r\n`))
    if (answer.error?.err_code === WRONG_LAST_SEQUENCE) return undefined
    if (answer.error) throw refusal(answer.error, key)
    return answer.seq
  }

  async set(key: string, value: unknown): Promise<void> {
    const answer = await this.#put(key, value)
    if (answer.error) throw refusal(answer.error, key)
  }

  /** Takes keys away without a trace. `key` may end in `.>`. */
  async purge(key: string): Promise<void> {
    const answer = await this.#connection.ask(`STREAM.PURGE.KV_${this.#bucket}`, { filter: this.#subject(key) })
    if (answer.error && answer.error.err_code !== NO_STREAM) throw refusal(answer.error, key)
  }

  async #put(key: string, value: unknown, headers?: MsgHdrs): Promise<ApiAnswer<PublishAnswer>> {
    return (await this.#connection.request(this.#subject(key), JSON.stringify(value), headers)).json()
  }

  #subject(key: string): string {
    return `$KV.${this.#bucket}.${key}`
  }
}
