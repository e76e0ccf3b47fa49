import { type ContractDescription, topicOf } from '@comity/contract'
import { type Clock, type Logger, type Loop, loop, silentLogger, systemClock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import type { RelayProgress } from '../relay/relay.ts'
import { type Fence, relayMarks, type Transport } from '../transport/index.ts'

/* One row for each topic on which somebody waits for a mark. */
const WAITING = `
  select w.entity, w.audience, max(w.version)::text as last, c.description::text as description, json_agg(w.id)::text as ids
  from (select b.entity, b.audience, b.last_version as version, b.id from comity.backfills b where b.state = 'sent'
    union all select a.entity, a.audience, a.version, a.id from comity.audit_marks a) w
  join comity.contracts c on c.topic = w.entity group by w.entity, w.audience, c.description::text`
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
}

/**
 * Whoever relays says in each bucket of a topic that everything up to its checkpoint has been sent there, once that has passed the last version
 * that a backfill or an audit has drawn. The checkpoint is durable, and everything below it was stored by the broker: so a mark stands behind all of it.
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
  /** Who leads now; undefined in a process that does not. */
  readonly fence: () => Fence | undefined
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, database, transport, topicNamed, progress, settleSoon, fence, clock = systemClock, logger = silentLogger } = options

  async function runOnce(): Promise<'busy' | 'idle'> {
    if (fence() === undefined) return 'idle'
    const { rows } = await database.query<Waiting>(WAITING)
    let found = false
    for (const waiting of rows) {
      const { checkpoint } = progress()
      const speaker = fence()
      if (speaker === undefined) return 'idle'
      found = true
      if (checkpoint < Number(waiting.last)) settleSoon()
      else await mark(waiting, checkpoint, speaker)
    }
    return found ? 'busy' : 'idle'
  }

  async function mark({ audience, description, ids }: Waiting, checkpoint: number, speaker: Fence): Promise<void> {
    const topic = topicNamed(topicOf(JSON.parse(description) as ContractDescription, audience ?? undefined))
    const messages = relayMarks(checkpoint, await transport.buckets(topic))
    const most = transport.guarantees.limits.batchMessages
    for (let from = 0; from < messages.length; from += most) {
      const results = await transport.send(topic, messages.slice(from, from + most), { fence: speaker })
      if (results.some(({ status }) => status !== 'stored')) return
    }
    await database.query(DONE, [ids])
  }

  return loop({ name: `marks for copies of ${team}`, poll: { min: 20, max: 1000 }, clock, logger, runOnce })
}
