import type { Queryable } from '../postgres/database.ts'
import type { OutboxRow } from './outbox-reader.ts'
import type { WithholdReason } from './withholding.ts'

/** Rows of the outbox that say whose an entity is from now on; their key is the entity, their payload the team, or nothing: this one. */
const OWNER = 'comity.owner'

const HAND_OVERS = `
  select h.topic, case when h.next = d.team then h.taken_version else h.version end::text as version, case when h.next <> d.team then h.next end as next
  from comity.hand_overs h cross join comity.database d where h.owner = d.team or h.next <> d.team or h.taken_version is not null order by h.version`

/** Above a version of this team's own outbox an entity belongs to another team, or (undefined) to this one. */
interface Since {
  readonly version: number
  readonly next: string | undefined
}

/**
 * Which entities this team has given away (docs/decisions/0022-handing-over.md), as the outbox says it: a read that has a row from above a hand-over
 * has its row too, before it, or an earlier read had.
 */
export class HandedOver {
  readonly #database: Queryable
  /** Of an entity, the oldest first. */
  readonly #entities = new Map<string, readonly Since[]>()

  constructor(database: Queryable) {
    this.#database = database
  }

  async load(): Promise<void> {
    this.#entities.clear()
    const { rows } = await this.#database.query<{ topic: string; version: string; next: string | null }>(HAND_OVERS)
    for (const { topic, version, next } of rows) this.#add(topic, { version: Number(version), next: next ?? undefined })
  }

  /** Whether the row is about an owner, and nobody's data: then it is known from now on. */
  heed({ id, topic, key, payload }: OutboxRow): boolean {
    if (topic !== OWNER) return false
    const known = this.#entities.get(key)?.some(({ version }) => version === id)
    if (!known) this.#add(key, { version: id, next: payload === null ? undefined : JSON.parse(payload) })
    return true
  }

  /**
   * Why a row is not this team's to publish. What was withheld when an entity was given away stays so: the next owner has its last word.
   * @param which whether the row is new, or was withheld and is tried again
   */
  judge({ id, topic }: OutboxRow, which: 'new' | 'retried'): WithholdReason | undefined {
    const since = this.#entities.get(topic)
    const last = which === 'retried' && since?.at(-1)?.next !== undefined ? since.at(-1) : since?.findLast(({ version }) => version < id)
    if (last?.next === undefined) return undefined
    const reason = `${topic} belongs to ${last.next} since ${last.version}: tell that team, here it is never published`
    return { code: 'COMITY_HANDED_OVER', reason }
  }

  #add(topic: string, since: Since): void {
    this.#entities.set(topic, [...(this.#entities.get(topic) ?? []), since])
  }
}
