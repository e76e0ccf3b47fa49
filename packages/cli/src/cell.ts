import type { SubscriptionStatus } from 'comity/admin'
import pc from 'picocolors'
import type { Cell } from './table.ts'

export const NONE: Cell = { text: '' }

/** A number of messages, keys or lines; null = nobody knows. */
export function count(value: number | null, paint: (text: string) => string): Cell {
  if (value === null) return { text: '?', paint: pc.red }
  const text = value < 1_000_000 ? value.toLocaleString('en') : `${(value / 1_000_000).toFixed(1)}M`
  return value === 0 ? { text, paint: pc.dim } : { text, paint }
}

/** How far a subscription is behind; `≥` where only a part of it is known, because the broker does not count. */
export function lagOf({ lag, lagFrom }: Pick<SubscriptionStatus, 'lag' | 'lagFrom'>): Cell {
  const cell = count(lag, pc.yellow)
  return lagFrom === 'processes' && lag !== 0 ? { ...cell, text: `≥${cell.text}` } : cell
}

export function freshness(seconds: number | null): Cell {
  if (seconds === null) return { text: '?', paint: pc.red }
  return seconds === 0 ? { text: 'now', paint: pc.green } : age(seconds)
}

/** Seconds in the largest unit that fits: `0.4s`, `12s`, `5m`, `3h`, `9d`. Above a minute it is somebody's business. */
export function age(seconds: number | null): Cell {
  if (seconds === null) return { text: '-', paint: pc.dim }
  const paint = seconds < 60 ? pc.yellow : pc.red
  if (seconds < 9.95) return { text: `${seconds.toFixed(1)}s`, paint }
  for (const [unit, length, next] of [
    ['s', 1, 60],
    ['m', 60, 60],
    ['h', 3600, 24],
  ] as const) {
    const whole = Math.round(seconds / length)
    if (whole < next) return { text: `${whole}${unit}`, paint }
  }
  return { text: `${Math.round(seconds / 86_400)}d`, paint }
}

/** How long ago something was. @param time ISO 8601 */
export function ago(time: string | null): Cell {
  return { text: age(time === null ? null : Math.max(0, (Date.now() - Date.parse(time)) / 1000)).text }
}

/** Text that somebody else wrote: what would spoil a line of a terminal is escaped. */
export function printable(text: string): string {
  const quoted = JSON.stringify(text)
  return quoted.length === text.length + 2 ? text : quoted
}

export function text(value: string | null, paint?: (text: string) => string): Cell {
  return { text: value === null ? '-' : printable(value), ...(paint === undefined ? {} : { paint }) }
}
