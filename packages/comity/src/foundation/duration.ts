import { BadDuration } from './errors.ts'

/** A length of time with its unit: `'250ms'`, `'5s'`, `'10m'`, `'1h'`, `'7d'`. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const milliseconds = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Milliseconds of a {@link Duration}. Throws COMITY_BAD_DURATION for anything without a unit. */
export function parseDuration(value: Duration, option: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(String(value))
  if (!match) throw new BadDuration({ option, value: String(value) }, { path: option })
  return Number(match[1]) * milliseconds[match[2] as keyof typeof milliseconds]
}
