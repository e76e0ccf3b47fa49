import type { ContractDescription } from '@comity/contract'
import type { SubsetCondition } from '../catalog/declaration.ts'
import { type CopyingSpeaker, sayAboutCopy } from '../control/copying-channel.ts'
import { copyingTopic } from '../control/copying-topics.ts'
import { type Clock, type Logger, type Loop, logEvent, loop, silentLogger, systemClock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database } from '../postgres/database.ts'
import type { Permit } from '../subscription/permits.ts'
import { ASKED, type Asked, BACKFILL_VERSION, type Want } from './contracts.ts'
import type { CopyReader } from './copy-reader.ts'
import { settle } from './settling.ts'

/** A copy that this team keeps, as its declaration has it. */
export interface KeptCopy {
  readonly name: string
  readonly entity: ContractDescription
  readonly audience?: string
  readonly reads: Pick<CopyReader, 'versions'>
}

/*
 * What has to be said (again). Each process may: the row's own time says who does. It waits for who has the row, and passes over none: chunks
 * that are applied have it most of the time. Who was not answered asks less and less often, up to once a
 * minute; who fills hears from its owner all the time, and asks only when that ends.
 */
const DUE = `
  update comity.asked_backfills a set asks = a.asks + 1, told = a.wanted, ask_at = clock_timestamp() + least(60, power(2, least(a.asks, 6))) * interval '1 second'
  from comity.replicas r
  where r.name = a.replica and a.id in (
    select d.id from comity.asked_backfills d
    where d.replica = any ($1::text::text[]) and (d.ask_at <= clock_timestamp() or d.told is distinct from d.wanted)
      and (d.state in ('asking', 'filling', 'settling')
        or d.state = 'cancelled' and d.owner_state is distinct from 'cancelled' and d.wanted = 'cancel' and d.asks < 20)
    order by d.ask_at limit 20 for update)
  returning a.id::text as id, a.replica, a.owner, a.entity, a.wanted, a.rate::text as rate, r.subset::text as subset,
    coalesce(case when a.why = 'rebuild' then r.rebuilt -> 'columns' end, r.columns)::text as columns`
const SETTLING = `
  select id::text as id, replica, why, first_version::text as first, last_version::text as last
  from comity.asked_backfills where state = 'settling' and replica = any ($1::text::text[])`
/* A chunk that the broker has lost comes never: everything was sent, and for a long time nothing has followed. */
const LOST = `
  with lost as (
    update comity.asked_backfills set state = 'cancelled', wanted = 'cancel', reason = 'a part of it was lost on its way; it was begun again', ended_at = clock_timestamp()
    where state = 'filling' and owner_state = 'sent' and wanted = 'run' and replica = any ($1::text::text[])
      and greatest(moved_at, asked_at) < clock_timestamp() - interval '10 minutes'
    returning replica, owner, entity, why, rate
  )
  insert into comity.asked_backfills (replica, owner, entity, why, rate) select replica, owner, entity, why, rate from lost returning replica`

interface DueRow {
  readonly id: string
  readonly replica: string
  readonly owner: string
  readonly entity: string
  readonly wanted: Want
  readonly rate: string | null
  readonly subset: string | null
  readonly columns: string
}

/** The copy's side: asks the owners for what is to be filled, until they answer; and ends what is complete. */
export function asking(options: {
  readonly team: string
  readonly database: Database
  readonly speaker: CopyingSpeaker
  readonly copies: readonly KeptCopy[]
  readonly mayRun: () => boolean
  readonly permit: Permit
  /** Whether an audit has found the copy true since it was filled; asked again and again. Default: nobody audits. */
  readonly confirmed?: (backfill: string) => Promise<boolean>
  readonly clock?: Clock
  readonly logger?: Logger
}): Loop {
  const { team, database, speaker, copies, mayRun, permit, clock = systemClock, logger = silentLogger } = options
  const names = arrayLiteral(copies.map(({ name }) => name))
  const swept = new Set<string>()
  let failures = 0

  async function runOnce(): Promise<'busy' | 'idle' | number> {
    if (!mayRun()) return 'idle'
    await database.query(LOST, [names])
    const { rows: due } = await database.query<DueRow>(DUE, [names])
    for (const row of due) await ask(row)
    const { rows: settling } = await database.query<{ id: string; replica: string; why: string; first: string; last: string }>(SETTLING, [
      names,
    ])
    let found = false
    for (const { id, replica, why, first, last } of settling) {
      const state = await settle(
        database,
        { id, replica, why, first: Number(first), last: Number(last) },
        permit,
        () => options.confirmed?.(id) ?? Promise.resolve(true),
        swept,
      )
      if (state === undefined) continue
      found = true
      logEvent(logger, 'comity.backfill.ended', { subscription: replica, job: id, state, reason: 'all of it is applied' })
    }
    if (due.length > 0 || found) return 'busy'
    return settling.length > 0 ? LOOK_AGAIN : 'idle'
  }

  async function ask({ id, replica, owner, entity, wanted, rate, subset, columns }: DueRow): Promise<void> {
    const copy = copies.find(({ name }) => name === replica) as KeptCopy
    const base = [...copy.entity.keyFields, copy.entity.tenantField]
    const conditions = subset === null ? undefined : (JSON.parse(subset) as SubsetCondition[])
    // Also what only decides whether a row is kept: an owner of an older version says every row.
    const needed = [...(JSON.parse(columns) as { field: string }[]), ...(conditions ?? [])].map(({ field }) => field)
    const fields = [...new Set(needed)].filter((field) => !base.includes(field))
    const data: Asked = {
      ...{ v: BACKFILL_VERSION, id, entity, fields, want: wanted },
      ...(copy.audience === undefined ? {} : { audience: copy.audience }),
      ...(rate === null ? {} : { rate: Number(rate) }),
      ...(conditions === undefined ? {} : { subset: conditions }),
      ...(copy.reads.versions === undefined ? {} : { versions: copy.reads.versions }),
    }
    try {
      await sayAboutCopy(speaker, copyingTopic(owner), [{ contract: ASKED, replica, data }])
      failures = 0
    } catch (error) {
      // Once: a team that was not provisioned after an upgrade works as before.
      if (failures++ === 0) logEvent(logger, 'comity.backfill.not_asked', { subscription: replica, job: id, failures, error })
    }
  }

  return loop({ name: `backfills of ${team}`, poll: { min: 20, max: 1000 }, clock, logger, runOnce })
}

/** While marks are to come, in milliseconds. */
const LOOK_AGAIN = 50
