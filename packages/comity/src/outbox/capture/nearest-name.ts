import { editDistance } from '../../foundation/options.ts'

/** The known name that was probably meant: case, `_` and `-` do not count, nor do two typing errors in a longer one. */
export function nearestName(given: string, known: readonly string[]): string | undefined {
  const plain = (name: string): string => name.toLowerCase().replaceAll(/[_\-"]/g, '')
  const nearest = known.map((name) => [editDistance(plain(given), plain(name)), name] as const).sort((a, b) => a[0] - b[0])[0]
  return nearest !== undefined && nearest[0] <= Math.min(2, Math.ceil(given.length / 3)) ? nearest[1] : undefined
}
