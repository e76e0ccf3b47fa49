import type { Clock } from '../foundation/index.ts'
import type { Queryable } from '../postgres/database.ts'
import { AuditNotPassed } from './errors.ts'

/* A mark in each bucket of the topic, at or above the version. */
const PASSED = `
  select count(*) > 0 and count(*) = max(m.buckets) as passed from comity.marks m where m.subscription = $1::text and m.version >= $2::text::bigint`

/** Resolves when everything of a copy's topic below the version has ended here, in every bucket. Throws COMITY_AUDIT_NOT_PASSED. */
export async function copiedVersion(
  database: Queryable,
  replica: string,
  version: number,
  options: { readonly patience: number; readonly onWaiting: () => Promise<void>; readonly signal: AbortSignal; readonly clock: Clock },
): Promise<void> {
  const { patience, onWaiting, signal, clock } = options
  const until = clock.monotonic() + patience
  for (let wait = 10; ; wait = Math.min(250, wait * 1.5)) {
    signal.throwIfAborted()
    const { rows } = await database.query<{ passed: boolean | null }>(PASSED, [replica, String(version)])
    if (rows[0]?.passed === true) return
    if (clock.monotonic() > until)
      throw new AuditNotPassed({ replica, version: String(version), limit: `${Math.round(patience / 1000)} s` })
    await onWaiting()
    await clock.sleep(wait, signal)
  }
}
