import { SubscriptionUnknown } from 'comity/transport'
import type { Connection } from './connection.ts'
import { NatsTeamUnknown } from './errors.ts'
import type { Acknowledged, LeaseTable } from './lease-table.ts'
import { newsOf, teamOf, toToken } from './names.ts'
import { type Stored, TeamStore } from './team-store.ts'

const ATTEMPTS = 100

/** The lease table of one subscription, and what its holders have written down. */
export class Subscription {
  readonly name: string
  readonly team: string
  readonly store: TeamStore
  readonly #connection: Connection
  readonly #token: string

  constructor(connection: Connection, name: string) {
    this.name = name
    this.team = teamOf(name)
    this.store = new TeamStore(connection, this.team)
    this.#connection = connection
    this.#token = toToken(name)
  }

  /** Undefined if there is no such subscription. */
  async find(): Promise<Stored<LeaseTable> | undefined> {
    try {
      return await this.store.get<LeaseTable>(`subscriptions.${this.#token}`)
    } catch (error) {
      if (error instanceof NatsTeamUnknown) return undefined
      throw error
    }
  }

  /** As anybody may see it who sends to its topic; undefined if there is none. What has changed a moment ago may be missing. */
  async seen(): Promise<LeaseTable | undefined> {
    return this.store.peek<LeaseTable>(`subscriptions.${this.#token}`)
  }

  async table(): Promise<Stored<LeaseTable>> {
    const found = await this.find()
    if (found === undefined) throw new SubscriptionUnknown({ subscription: this.name })
    return found
  }

  /** Changes the table, whoever else does so at once; `next` may be asked several times. Undefined if there is no such subscription any more. */
  async change(next: (table: LeaseTable) => LeaseTable | Promise<LeaseTable>): Promise<LeaseTable | undefined> {
    for (let attempt = 0; ; attempt++) {
      const found = await this.find()
      if (found === undefined) return undefined
      const wanted = await next(found.value)
      if (wanted === found.value) return wanted
      if ((await this.store.compareAndSet(`subscriptions.${this.#token}`, wanted, found.revision)) !== undefined) {
        await this.#tell()
        return wanted
      }
      // Somebody else moved the table on, so all together come to an end.
      if (attempt >= ATTEMPTS) return found.value
    }
  }

  /** False if it is there already. */
  async create(table: LeaseTable): Promise<boolean> {
    return (await this.store.compareAndSet(`subscriptions.${this.#token}`, table, 0)) !== undefined
  }

  async remove(): Promise<void> {
    await this.store.purge(`subscriptions.${this.#token}`)
    await this.store.purge(`acks.${this.#token}.>`)
    await this.#tell()
  }

  async acknowledge(holder: string, acknowledged: Acknowledged): Promise<void> {
    await this.store.set(`acks.${this.#token}.${holder}`, acknowledged)
  }

  async acknowledged(holder: string): Promise<Acknowledged> {
    return (await this.store.get<Acknowledged>(`acks.${this.#token}.${holder}`))?.value ?? []
  }

  async forget(holder: string): Promise<void> {
    await this.store.purge(`acks.${this.#token}.${holder}`)
  }

  /** Other processes look at once; who misses it looks a second later. */
  async #tell(): Promise<void> {
    ;(await this.#connection.client()).publish(newsOf(this.team, this.name))
  }
}
