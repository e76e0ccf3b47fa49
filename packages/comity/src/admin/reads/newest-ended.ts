import type { Environment } from '../../catalog/environment.ts'
import { isoTime } from './iso-time.ts'

/** Of one subscription: the newest time of an event of its topic that ended here; null = none has. */
export interface NewestEnded {
  readonly subscription: string
  readonly topic: string
  readonly kind: 'handler' | 'replica'
  readonly newest: string | null
}

/** How far each subscription has come, by the times of its owners' events, as its inbox's and its copy's transactions have recorded it. */
export async function newestEnded({ database }: Environment): Promise<readonly NewestEnded[]> {
  const { rows } = await database.query<NewestEnded>(
    `select s.name as subscription, s.topic, s.kind, ${isoTime('max(c.last_time)')} as newest
     from comity.subscriptions s left join comity.counts c on c.subscription = s.name group by s.name, s.topic, s.kind order by s.name`,
  )
  return rows
}
