/** All rows of one bucket on one side: how many, and two sums of the first sixteen bytes of their hashes, modulo 2^64, in hexadecimal. */
export interface Digest {
  readonly bucket: number
  readonly count: number
  readonly a: string
  readonly b: string
}
export interface HashedRow {
  readonly bucket: number
  readonly key: string
  /** Sixteen bytes, in hexadecimal. */
  readonly hash: string
}
export interface Buckets {
  readonly depth: number
  readonly buckets: readonly number[]
}

/** One of the two sides of a comparison: SQL over rows that are here, or questions to a team that has them. */
export interface Side {
  /** Of every bucket of that depth that is not empty, or of those that lie in the buckets of a lower depth. */
  digests(depth: number, within?: Buckets): Promise<readonly Digest[]>
  rows(of: Buckets): Promise<readonly HashedRow[]>
}

export interface Suspects {
  /** Keys whose rows were not alike, or were on one side only, when each side looked. */
  readonly keys: readonly string[]
  /** There are more than `most`; what is named is a part of them. */
  readonly truncated: boolean
  readonly ourRows: number
  readonly theirRows: number
}

/** Of a bucket's number: what follows the two sums in a row's hash. */
const BUCKET_BITS = 24
/** 1024 buckets. */
const FIRST_DEPTH = 10
/** Each further look splits a bucket in sixteen. */
const SPLIT_BITS = 4
/** Rows of a bucket that are listed rather than split again. */
const LISTED_BELOW = 96
/** Rows that one question lists, and buckets that it splits, at most. */
const ROWS_AT_ONCE = 20_000
const BUCKETS_AT_ONCE = 2048

/**
 * Which keys may differ: both sides' digests are compared, bucket by bucket; what is not equal is split, and at last listed. The two sides look at
 * different moments, so a suspect need not be a difference; what is equal here is equal, but for one chance in 2^128.
 */
export async function findSuspects(ours: Side, theirs: Side, most: number): Promise<Suspects> {
  const keys = new Set<string>()
  const [own, other] = await both(ours, theirs, (side) => side.digests(FIRST_DEPTH))
  const ourRows = sumOf(own)
  const theirRows = sumOf(other)

  async function look(depth: number, differing: readonly Differing[]): Promise<void> {
    const last = depth + SPLIT_BITS > BUCKET_BITS
    const [listed, split] = partition(differing, ({ count }) => last || count <= LISTED_BELOW)
    for (const some of portions(listed, ({ count }) => count, ROWS_AT_ONCE)) {
      if (keys.size > most) return
      const of = { depth, buckets: some.map(({ bucket }) => bucket) }
      for (const key of differingKeys(...(await both(ours, theirs, (side) => side.rows(of))))) keys.add(key)
    }
    for (const some of portions(split, () => 1, BUCKETS_AT_ONCE)) {
      if (keys.size > most) return
      const within = { depth, buckets: some.map(({ bucket }) => bucket) }
      const deeper = depth + SPLIT_BITS
      await look(deeper, differingBuckets(...(await both(ours, theirs, (side) => side.digests(deeper, within)))))
    }
  }

  await look(FIRST_DEPTH, differingBuckets(own, other))
  return { keys: [...keys].slice(0, most), truncated: keys.size > most, ourRows, theirRows }
}

/** At once, so that little happens between the two looks. */
function both<Result>(ours: Side, theirs: Side, ask: (side: Side) => Promise<Result>): Promise<[Result, Result]> {
  return Promise.all([ask(ours), ask(theirs)])
}

interface Differing {
  readonly bucket: number
  /** Of the side that has more. */
  readonly count: number
}

/** A bucket that one side has not is empty there. */
export function differingBuckets(ours: readonly Digest[], theirs: readonly Digest[]): readonly Differing[] {
  const others = new Map(theirs.map((digest) => [digest.bucket, digest]))
  const differing: Differing[] = []
  for (const { bucket, count, a, b } of ours) {
    const other = others.get(bucket)
    others.delete(bucket)
    if (other?.count !== count || other.a !== a || other.b !== b) differing.push({ bucket, count: Math.max(count, other?.count ?? 0) })
  }
  return [...differing, ...others.values()].sort((one, other) => one.bucket - other.bucket)
}

/** A key that stands twice on one side (no unique index keeps a copy's owner from it) differs from one that stands once. */
export function differingKeys(ours: readonly HashedRow[], theirs: readonly HashedRow[]): readonly string[] {
  const texts = (rows: readonly HashedRow[]): Map<string, string> => {
    const byKey = new Map<string, string>()
    for (const { key, hash } of rows) byKey.set(key, [byKey.get(key) ?? '', hash].sort().join())
    return byKey
  }
  const [own, other] = [texts(ours), texts(theirs)]
  return [...new Set([...own.keys(), ...other.keys()])].filter((key) => own.get(key) !== other.get(key))
}

function sumOf(digests: readonly Digest[]): number {
  return digests.reduce((sum, { count }) => sum + count, 0)
}

function partition<Item>(items: readonly Item[], first: (item: Item) => boolean): [Item[], Item[]] {
  const parts: [Item[], Item[]] = [[], []]
  for (const item of items) parts[first(item) ? 0 : 1].push(item)
  return parts
}

function* portions<Item>(items: readonly Item[], sizeOf: (item: Item) => number, most: number): Generator<readonly Item[]> {
  let portion: Item[] = []
  let size = 0
  for (const item of items) {
    if (portion.length > 0 && size + sizeOf(item) > most) {
      yield portion
      portion = []
      size = 0
    }
    portion.push(item)
    size += sizeOf(item)
  }
  if (portion.length > 0) yield portion
}
