import { BadTime } from '../errors.ts'
import type { LineSelection } from '../jobs/selection.ts'

/** Which dead letters: as a job over their lines would take them. */
export type LetterSelection = Omit<LineSelection, 'reasons'>

/** The conditions of a WHERE clause, and the values of their parameters. Only what is asked for is in it, so that each question has its own plan. */
export class Conditions {
  readonly values: unknown[] = []
  readonly #texts: string[] = []

  /** @param text with `?` in the place of each value's parameter, cast as database.ts says */
  add(text: string, ...values: readonly unknown[]): void {
    const parts = text.split('?')
    this.#texts.push(parts.map((part, i) => (i === 0 ? part : this.parameter(values[i - 1]) + part)).join(''))
  }

  /** `$n` of one more value. */
  parameter(value: unknown): string {
    return `$${this.values.push(value)}`
  }

  get sql(): string {
    return this.#texts.length === 0 ? 'true' : this.#texts.join(' and ')
  }
}

/** Of rows `k` of comity.waiting_keys whose head waits for whatever reason. Throws COMITY_BAD_TIME. */
export function selecting({ subscription, fingerprint, key, tenant, from, to }: LetterSelection): Conditions {
  const conditions = new Conditions()
  if (subscription !== undefined) conditions.add('k.subscription = ?::text', subscription)
  if (fingerprint !== undefined) conditions.add('k.fingerprint = ?::text', fingerprint)
  if (key !== undefined) conditions.add('k.key = ?::text', key)
  if (tenant !== undefined) conditions.add('k.tenant = ?::text', tenant)
  if (from !== undefined) conditions.add('k.since >= ?::text::timestamptz', checkTime(from))
  if (to !== undefined) conditions.add('k.since < ?::text::timestamptz', checkTime(to))
  return conditions
}

function checkTime(time: string): string {
  if (!/^\d{4}-\d{2}-\d{2}/.test(time) || Number.isNaN(Date.parse(time))) throw new BadTime({ time })
  return time
}
