import type { JsonSchema } from '@comity/contract'
import { outcomeHandlerName } from '../../request/standing.ts'
import { NothingPaused, PauseWithoutTarget } from '../errors.ts'
import type { Operation } from './operation.ts'
import { requireSubscription } from './require-subscription.ts'

/** A subscription or a handler of outcomes (`<team>.<request>`, with hyphens), a tenant in it, or (without a subscription) a tenant everywhere in this team. */
export interface PauseArguments {
  readonly subscription?: string
  readonly tenant?: string
}
const ARGUMENTS: JsonSchema = {
  type: 'object',
  properties: { subscription: { type: 'string', minLength: 1 }, tenant: { type: 'string', minLength: 1 } },
  additionalProperties: false,
}

/* An operator's takes the place of the breaker's: it does not try by itself any more. */
const PAUSE = `
  insert into comity.pauses as p (subscription, tenant, by, reason, author) values ($1::text, $2::text, 'operator', $3::text, $4::text)
  on conflict (subscription, tenant) do update set by = 'operator', reason = excluded.reason, author = excluded.author, since = clock_timestamp(), probe_at = null`

/** Position and backlog are kept: a subscription stops reading, a tenant's messages wait in the lines of their keys, outcomes where they are. It counts at once, in every process. */
export const pause: Operation<PauseArguments> = {
  kind: 'pause',
  arguments: ARGUMENTS,
  async run(sql, { declaration, author, reason }, { subscription, tenant }) {
    if (subscription === undefined && tenant === undefined) throw new PauseWithoutTarget({ kind: 'pause' })
    if (subscription !== undefined) {
      const { team, outcomes } = declaration
      await requireSubscription(
        sql,
        team,
        subscription,
        outcomes.map((one) => outcomeHandlerName(team, one.request.name)),
      )
    }
    await sql.query(PAUSE, [subscription ?? '', tenant ?? '', reason, author])
    return { subscription: subscription ?? null, tenant: tenant ?? null }
  },
}

/** Goes on where it stopped, in order; also what the breaker has paused. Throws COMITY_NOTHING_PAUSED. */
export const resume: Operation<PauseArguments> = {
  kind: 'resume',
  arguments: ARGUMENTS,
  async run(sql, _context, { subscription, tenant }) {
    if (subscription === undefined && tenant === undefined) throw new PauseWithoutTarget({ kind: 'resume' })
    const { rows } = await sql.query<{ by: string; seconds: number }>(
      `delete from comity.pauses where subscription = $1::text and tenant = $2::text
       returning by, extract(epoch from clock_timestamp() - since)::float8 as seconds`,
      [subscription ?? '', tenant ?? ''],
    )
    const ended = rows[0]
    if (ended === undefined) {
      const what = [subscription, tenant === undefined ? undefined : `the tenant ${tenant}`].filter((one) => one !== undefined).join(', ')
      throw new NothingPaused({ what })
    }
    return { subscription: subscription ?? null, tenant: tenant ?? null, pausedBy: ended.by, seconds: Math.round(ended.seconds) }
  },
}
