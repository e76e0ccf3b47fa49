import type { Pool } from 'pg'
import type { Load } from './load.ts'

/** What a handler did for a message, as a measurement sees it; times in monotonic milliseconds. */
export interface MeasuredEffect {
  readonly mark: string
  readonly key: string
  /** When it was made, and when its message was committed by who published it. */
  readonly at: number
  readonly committedAt: number
}

/** The effects of what a load has published, in the order in which they were made. */
export async function effectsOf(mail: Pool, load: Load): Promise<readonly MeasuredEffect[]> {
  const { rows } = await mail.query<{ mark: string; key: string; at: number }>(
    `select mark, key, at from effects where subscription = 'mail.moved' order by at`,
  )
  return rows.flatMap((row) => {
    const committedAt = load.committedAt.get(row.mark)
    return committedAt === undefined ? [] : [{ ...row, committedAt }]
  })
}

export function tenantOf({ mark }: Pick<MeasuredEffect, 'mark'>): string {
  return mark.split(':')[0] as string
}

/** The median over whole seconds of how many effects there were in each, from `from` until `to`. */
export function medianRate(effects: readonly MeasuredEffect[], from: number, to: number): number {
  const windows = new Array<number>(Math.max(1, Math.floor((to - from) / 1000))).fill(0)
  for (const { at } of effects) {
    const window = Math.floor((at - from) / 1000)
    if (window >= 0 && window < windows.length) windows[window] = (windows[window] as number) + 1
  }
  return quantile(windows, 0.5)
}

/** Of the time from commit to effect, of what was committed from `from` until `to`. */
export function latency(effects: readonly MeasuredEffect[], q: number, from: number, to: number): number {
  return quantile(
    effects.filter(({ committedAt }) => committedAt >= from && committedAt < to).map(({ at, committedAt }) => at - committedAt),
    q,
  )
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}
