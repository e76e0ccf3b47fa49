import type { JsonSchema } from '@comity/contract'
import type { Queryable } from '../../postgres/database.ts'

/** Which lines: each part narrows it down; without any, all dead letters of the team. Times are RFC 3339, of when the line began. */
export interface LineSelection {
  readonly subscription?: string
  readonly fingerprint?: string
  readonly key?: string
  readonly tenant?: string
  readonly from?: string
  readonly to?: string
  /** Why their heads wait. Default: dead letters only, `['parked']`. */
  readonly reasons?: readonly ('parked' | 'paused' | 'overflow' | 'not-yet')[]
}

const text: JsonSchema = { type: 'string', minLength: 1 }
/** {@link LineSelection}, as JSON Schema's properties. */
export const SELECTION: Readonly<Record<keyof LineSelection, JsonSchema>> = {
  subscription: text,
  fingerprint: text,
  key: text,
  tenant: text,
  from: { type: 'string', format: 'date-time' },
  to: { type: 'string', format: 'date-time' },
  reasons: { type: 'array', items: { enum: ['parked', 'paused', 'overflow', 'not-yet'] }, minItems: 1 },
}

/** The selection as SQL over `comity.waiting_keys k`, for {@link selectionValues} at $1 to $7. */
export const SELECTED = `
  k.reason = any ($1::text::text[]) and ($2::text is null or k.subscription = $2::text) and ($3::text is null or k.fingerprint = $3::text)
  and ($4::text is null or k.key = $4::text) and ($5::text is null or k.tenant = $5::text)
  and ($6::text is null or k.since >= $6::text::timestamptz) and ($7::text is null or k.since < $7::text::timestamptz)`

export function selectionValues(selection: LineSelection): readonly (string | null)[] {
  const { subscription, fingerprint, key, tenant, from, to, reasons = ['parked'] } = selection
  return [`{${reasons.join()}}`, ...[subscription, fingerprint, key, tenant, from, to].map((one) => one ?? null)]
}

export interface LineEstimate {
  readonly lines: number
  /** In these lines, their heads included. */
  readonly messages: number
}

const ESTIMATE = `
  select count(*)::int as lines, coalesce(sum((select count(*) from comity.waiting w
    where w.subscription = k.subscription and w.key = k.key and w.seq > k.done)), 0)::int as messages
  from comity.waiting_keys k where ${SELECTED}`

/** What a job over this selection would take, now. */
export async function estimateLines(sql: Queryable, selection: LineSelection): Promise<LineEstimate> {
  return (await sql.query<LineEstimate>(ESTIMATE, selectionValues(selection))).rows[0] as LineEstimate
}
