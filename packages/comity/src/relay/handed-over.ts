import type { Queryable } from '../postgres/database.ts'
import type { OutboxRow } from './outbox-reader.ts'
import type { WithholdReason } from './withholding.ts'

/** Rows of the outbox that say whose an entity is from now on; their key is the entity, their payload the team, or nothing: this one. */
const OWNER = 'comity.owner'

const HANDED_OVER = `
  select h.topic, h.version::text as version, h.next from comity.hand_overs h
  where h.owner = (select d.team from comity.database d) and not exists (select from comity.hand_overs n where n.topic = h.topic and n.version > h.version)`

/**
 * Which entities this team has given away (docs/decisions/0022-handing-over.md), as the outbox says it: a read that has a row from above a hand-over
 * has its row too, before it, or an earlier read had.
 */
export class HandedOver {
  readonly #database: Queryable
  readonly #entities = new Map<string, { readonly version: number; readonly next: string }>()

  constructor(database: Queryable) {
    this.#database = database
  }

  async load(): Promise<void> {
    this.#entities.clear()
    const { rows } = await this.#database.query<{ topic: string; version: string; next: string }>(HANDED_OVER)
    for (const { topic, version, next } of rows) this.#entities.set(topic, { version: Number(version), next })
  }

  /** Whether the row is about an owner, and nobody's data: then it is known from now on. */
  heed({ id, topic, key, payload }: OutboxRow): boolean {
    if (topic !== OWNER) return false
    if (payload === null) this.#entities.delete(key)
    else this.#entities.set(key, { version: id, next: JSON.parse(payload) })
    return true
  }

  /** Why a row is not this team's to publish. */
  judge({ id, topic }: OutboxRow): WithholdReason | undefined {
    const given = this.#entities.get(topic)
    if (given === undefined || id <= given.version) return undefined
    const reason = `${topic} belongs to ${given.next} since ${given.version}: it was written here after that`
    return { code: 'COMITY_HANDED_OVER', reason }
  }
}
