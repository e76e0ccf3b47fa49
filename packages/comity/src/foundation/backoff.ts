/**
 * Full-jitter exponential backoff: a random wait in [0, min(max, min·2ⁿ)].
 * Source: AWS Architecture Blog, "Exponential Backoff And Jitter".
 * @param attempt failures so far, from 0
 * @returns milliseconds
 */
export function backoff(
  attempt: number,
  bounds: { readonly min: number; readonly max: number },
  random: () => number = Math.random,
): number {
  return random() * Math.min(bounds.max, bounds.min * 2 ** Math.min(attempt, 30))
}
