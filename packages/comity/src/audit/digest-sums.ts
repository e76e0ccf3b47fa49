import type { Digest } from './find-suspects.ts'

/** A bucket's digest of one slice, its sums exact and in decimal. */
export interface SlicedDigest {
  readonly bucket: number
  readonly count: number
  readonly a: string
  readonly b: string
}

/** Adds up the digests of slices. */
export class DigestSums {
  readonly #sums = new Map<number, { count: number; a: bigint; b: bigint }>()

  add(digests: readonly SlicedDigest[]): void {
    for (const { bucket, count, a, b } of digests) {
      const sum = this.#sums.get(bucket) ?? { count: 0, a: 0n, b: 0n }
      sum.count += count
      sum.a += BigInt(a)
      sum.b += BigInt(b)
      this.#sums.set(bucket, sum)
    }
  }

  all(): readonly Digest[] {
    return [...this.#sums]
      .map(([bucket, { count, a, b }]) => ({ bucket, count, a: word(a), b: word(b) }))
      .sort((x, y) => x.bucket - y.bucket)
  }
}

/** Modulo 2^64. */
function word(sum: bigint): string {
  return BigInt.asUintN(64, sum).toString(16).padStart(16, '0')
}
