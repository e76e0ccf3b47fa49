import { type ContractDescription, topicOf, topicsOf } from '@comity/contract'
import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { RelayProgress } from '../relay/relay.ts'
import { type Fence, type HandOver, relayMarks, type Transport } from '../transport/index.ts'

/* One row for each topic on which somebody waits for a mark. */
const WAITING = `
  select w.entity, w.audience, max(w.version)::text as last, c.description::text as description, json_agg(w.id)::text as ids,
    (select max(h.version)::text from comity.hand_overs h where h.topic = w.entity and h.owner = (select d.team from comity.database d)
      and comity.handed_to(w.entity) is not null) as given,
    (select case when h.next = (select d.team from comity.database d) and h.taken_at is not null then json_build_object('version', h.version, 'owner', h.owner, 'next', h.next) end::text
      from comity.hand_overs h where h.topic = w.entity order by h.version desc limit 1) as taken
  from (select b.entity, b.audience, b.last_version as version, b.id from comity.backfills b where b.state = 'sent'
    union all select a.entity, a.audience, a.version, a.id from comity.audit_marks a) w
  join comity.contracts c on c.topic = w.entity group by w.entity, w.audience, c.description::text`
const HANDED_OVER = `
  select h.topic as entity, h.version::text as last, h.owner, h.next, c.description::text as description
  from comity.hand_overs h join comity.contracts c on c.topic = h.topic
  where h.told_at is null and h.owner = (select d.team from comity.database d)`
const TOLD = `
  update comity.hand_overs set told_at = clock_timestamp() where topic = $1::text and version = $2::text::bigint`
const DONE = `
  with ids as materialized (select i::uuid as id from json_array_elements_text($1::text::json) i),
    audited as (delete from comity.audit_marks where id in (select id from ids))
  update comity.backfills set state = 'done', ended_at = clock_timestamp() where state = 'sent' and id in (select id from ids)`

interface Waiting {
  readonly entity: string
  readonly audience: string | null
  readonly last: string
  readonly description: string
  readonly ids: string
  /** The last version that was this team's to publish. */
  readonly given: string | null
  /** From whom this team has it: whoever joins later hears of that with its first marks. */
  readonly taken: string | null
}
interface HandedOver extends Omit<Waiting, 'ids' | 'audience' | 'given' | 'taken'> {
  readonly owner: string
  readonly next: string
}

/**
 * Whoever relays says in each bucket of a topic that everything up to its checkpoint has been sent there, once that has passed the last version
 * that a backfill, an audit or a hand-over has drawn. The checkpoint is durable, and everything below it was stored by the broker: so a mark stands behind all of it.
 * It is sent under the relay's fence, so that nobody who has lost the lease says it.
 */
export function marking(options: {
  readonly team: string
  readonly database: Queryable
  readonly transport: Transport
  readonly topicNamed: (name: string) => string
  readonly progress: () => RelayProgress
  /** The checkpoint is waited for. */
  readonly settleSoon: () => void
  /** Whether this team owns nothing: then only a hand-over can be left to tell. */
  readonly isRarelyNeeded: boolean
  /** Who leads now; undefined in a process that does not. */
  readonly fence: () => Fence | undefined
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const {
    team,
    database,
    transport,
    topicNamed,
    progress,
    settleSoon,
    isRarelyNeeded,
    fence,
    clock = systemClock,
    logger = silentLogger,
  } = options

  async function runOnce(): Promise<'busy' | 'idle'> {
    if (fence() === undefined) return 'idle'
    const waiting = (await database.query<Waiting>(WAITING)).rows
    const handedOver = (await database.query<HandedOver>(HANDED_OVER)).rows
    for (const one of [...waiting, ...handedOver]) {
      const { checkpoint } = progress()
      const speaker = fence()
      if (speaker === undefined) return 'idle'
      if (checkpoint < Number(one.last)) settleSoon()
      else if ('ids' in one) await markCopies(one, checkpoint, speaker)
      else await markHandOver(one, speaker)
    }
    return waiting.length + handedOver.length > 0 ? 'busy' : 'idle'
  }

  async function markCopies({ audience, description, ids, given, taken }: Waiting, checkpoint: number, speaker: Fence): Promise<void> {
    const topic = topicOf(JSON.parse(description) as ContractDescription, audience ?? undefined)
    // What is above is the next owner's to say.
    const version = given === null ? checkpoint : Math.min(checkpoint, Number(given))
    if (await mark(topic, version, speaker, taken === null ? undefined : JSON.parse(taken))) await database.query(DONE, [ids])
  }

  async function markHandOver({ entity, last, owner, next, description }: HandedOver, speaker: Fence): Promise<void> {
    for (const topic of topicsOf(JSON.parse(description) as ContractDescription))
      if (!(await mark(topic, Number(last), speaker, { version: Number(last), owner, next }))) return
    await database.query(TOLD, [entity, last])
    logEvent(logger, 'comity.entity.handed_over', { topic: entity, next })
  }

  /** @returns whether every bucket of the topic has it */
  async function mark(name: string, version: number, speaker: Fence, handOver?: HandOver): Promise<boolean> {
    const topic = topicNamed(name)
    const messages = relayMarks(version, await transport.buckets(topic), handOver)
    const most = transport.guarantees.limits.batchMessages
    for (let from = 0; from < messages.length; from += most) {
      const results = await transport.send(topic, messages.slice(from, from + most), { fence: speaker })
      if (results.some(({ status }) => status !== 'stored')) return false
    }
    return true
  }

  return loop({ name: `marks for copies of ${team}`, poll: { min: 20, max: isRarelyNeeded ? 30_000 : 1000 }, clock, logger, runOnce })
}
