import type { Environment } from '../../catalog/environment.ts'
import { requireInstalled } from '../installation.ts'
import { type LetterSelection, selecting } from './conditions.ts'
import { exactTime, isoTime } from './iso-time.ts'
import { cursorOf, limitOf, type Page, type PageOptions, pageOf } from './page.ts'

/** A line whose head failed for good. Its content stays out: it belongs to somebody. Times are ISO 8601. */
export interface DeadLetter {
  readonly subscription: string
  readonly key: string
  readonly tenant: string | null
  /** Id of the head. */
  readonly message: string
  readonly errorName: string | null
  readonly errorCode: string | null
  /** One line, without values. */
  readonly error: string | null
  /** The first frame that is the user's. */
  readonly frame: string | null
  /** Equal for what failed alike. */
  readonly fingerprint: string | null
  /** Of the head. */
  readonly failures: number
  /** When the line began, and when its head was last tried. */
  readonly since: string
  readonly triedAt: string
  /** Messages of the key behind it, counted to ten thousand. */
  readonly behind: number
}

export const DEAD_LETTER_COLUMNS: string = `
  k.subscription, k.key, k.tenant, coalesce(k.message, '') as message, k.error_name as "errorName", k.error_code as "errorCode", k.error, k.frame,
  k.fingerprint, k.failures, ${isoTime('k.since')} as since, ${isoTime('k.tried_at')} as "triedAt",
  (select greatest(count(*) - 1, 0)::int from (
    select from comity.waiting w where w.subscription = k.subscription and w.key = k.key and w.seq > k.done limit 10001) counted) as behind`

/** The dead letters, what was tried longest ago first: one that is tried meanwhile comes once more at the end, none is left out. */
export async function listDeadLetters(environment: Environment, asked: LetterSelection & PageOptions = {}): Promise<Page<DeadLetter>> {
  const limit = limitOf(asked)
  const cursor = cursorOf(asked, 3)
  const where = selecting(asked)
  if (cursor !== undefined) where.add('(k.tried_at, k.subscription, k.key) > (?::text::timestamptz, ?::text, ?::text)', ...cursor)
  await requireInstalled(environment)
  const { rows } = await environment.database.query<DeadLetter & { exact: string }>(
    `select ${DEAD_LETTER_COLUMNS}, ${exactTime('k.tried_at')} as exact from comity.waiting_keys k
     where k.reason = 'parked' and ${where.sql} order by k.tried_at, k.subscription, k.key limit ${where.parameter(limit + 1)}::int`,
    where.values,
  )
  return pageOf(
    rows,
    limit,
    ({ exact, subscription, key }) => [exact, subscription, key],
    ({ exact: _, ...letter }) => letter,
  )
}
