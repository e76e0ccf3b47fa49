import type { Queryable } from '../postgres/database.ts'
import type { Outcome } from './message.ts'

/*
 * The circuit breaker as its row in comity.pauses:
 *
 *   closed ──too much failed for good──▶ open (paused) ──probe_at──▶ half open: one process takes a few messages
 *     ▲                                    ▲                             │
 *     │                                    └──────ENOUGH fail: later──────┤
 *     └───────────────────ENOUGH of them succeed──────────────────────────┘
 *
 * One that fails proves nothing: a poison message may be the first of its bucket in every try. What fails in a try is not parked, it comes again.
 * Successes count from try to try, until ENOUGH fail in one; where little comes, one success and TRY_LASTS without a failure are enough. The pause
 * between tries doubles, up to five minutes.
 */
const OPEN = `
  with opened as (
    insert into comity.pauses (subscription, by, reason, author, probe_at)
    values ($1::text, 'breaker', $2::text, 'comity', clock_timestamp() + interval '10 seconds') on conflict do nothing returning subscription, reason
  )
  insert into comity.operations (id, kind, arguments, author, reason, origin, done_at, outcome)
  select gen_random_uuid(), 'pause', jsonb_build_object('subscription', subscription), 'comity', reason, 'breaker', clock_timestamp(), '{}'::jsonb from opened
  returning reason`
const CLAIM = `
  update comity.pauses set probes = probes + 1,
    probe_at = clock_timestamp() + least(interval '5 minutes', interval '10 seconds' * power(2, least(probes, 10)))
  where subscription = $1::text and tenant = '' and by = 'breaker' and probe_at <= clock_timestamp() returning probes`
const CLOSE = `
  with closed as (
    delete from comity.pauses where subscription = $1::text and tenant = '' and by = 'breaker' returning subscription, probes
  )
  insert into comity.operations (id, kind, arguments, author, reason, origin, done_at, outcome)
  select gen_random_uuid(), 'resume', jsonb_build_object('subscription', subscription), 'comity', 'messages succeed again', 'breaker', clock_timestamp(),
    jsonb_build_object('probes', probes) from closed`

/** Successes that end the breaker's pause, failures that end a try; so many messages are at the handler at once. */
export const ENOUGH = 5
/** How long a try goes on in which some have failed, in milliseconds. */
export const TRY_LASTS = 10_000

/** Pauses the subscription. False: somebody else has paused it already. */
export async function openBreaker(sql: Queryable, subscription: string, reason: string): Promise<boolean> {
  return (await sql.query(OPEN, [subscription, reason])).rows.length > 0
}
/** Whether this process may try now. */
export async function claimProbe(sql: Queryable, subscription: string): Promise<boolean> {
  return (await sql.query(CLAIM, [subscription])).rows.length > 0
}
export async function closeBreaker(sql: Queryable, subscription: string): Promise<void> {
  await sql.query(CLOSE, [subscription])
}

/** The tries of one process. What is told of one is answered with whether that ends it. */
export class Tries {
  /** What ends without being tried (its key waits already) says little: where all keys wait, the breaker closes all the same. */
  #tenths = 0
  #failures = 0
  #lasted = false

  /** The breaker is closed: what was before says nothing any more. */
  reset(): void {
    this.#tenths = 0
  }
  begin(): void {
    this.#failures = 0
    this.#lasted = false
  }
  ended(outcome: Outcome): boolean {
    this.#tenths += outcome === 'applied' ? 10 : 1
    return this.#over
  }
  failed(): boolean {
    this.#failures++
    if (this.#failures === ENOUGH) this.#tenths = 0
    return this.#over
  }
  lasted(): boolean {
    this.#lasted = true
    return this.#over
  }

  /** The breaker may close. */
  get proven(): boolean {
    return this.#tenths >= 10 * ENOUGH || (this.#lasted && this.#failures === 0 && this.#tenths >= 10)
  }
  get #over(): boolean {
    return this.proven || this.#failures >= (this.#lasted ? 1 : ENOUGH)
  }
}
