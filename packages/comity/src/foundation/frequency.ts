import { BadOption } from './errors.ts'

/** How often at most: `'50/s'`, `'600/m'`, `'1000/h'`. */
export type Frequency = `${number}/${'s' | 'm' | 'h'}`

const seconds = { s: 1, m: 60, h: 3600 } as const

/** Times a second. Throws COMITY_BAD_OPTION for anything else. */
export function parseFrequency(value: Frequency, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\/(s|m|h)$/.exec(String(value))
  const perSecond = Number(match?.[1]) / seconds[match?.[2] as keyof typeof seconds]
  if (perSecond > 0) return perSecond
  throw new BadOption({ option, expected: "a number with its time, e.g. '50/s', '600/m' or '1000/h'" }, { path: option })
}
