import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Digest, findSuspects, type HashedRow, type Side } from '../../src/audit/find-suspects.ts'
import { bucketOf, canonicalRow, digestOf, rowHash } from './reference.ts'

const secret = 'ab'.repeat(32)
const FIELDS = [
  { name: 'id', kind: 'text' },
  { name: 'value', kind: 'text' },
] as const

/** A side whose rows are in memory. */
function side(rows: ReadonlyMap<string, string | null>, sum: (hashes: readonly Buffer[]) => Omit<Digest, 'bucket'> = digestOf): Side {
  const all = [...rows].map(([id, value]) => ({
    key: id,
    hash: rowHash(canonicalRow(secret, FIELDS, { id, value })),
  }))
  return {
    async digests(depth, within) {
      const buckets = new Map<number, Buffer[]>()
      const wanted = within === undefined ? undefined : new Set(within.buckets)
      for (const { hash } of all) {
        if (within !== undefined && !wanted?.has(bucketOf(hash, within.depth))) continue
        const hashes = buckets.get(bucketOf(hash, depth))
        if (hashes === undefined) buckets.set(bucketOf(hash, depth), [hash])
        else hashes.push(hash)
      }
      return [...buckets].map(([bucket, hashes]) => ({ bucket, ...sum(hashes) }))
    },
    async rows({ depth, buckets }) {
      const wanted = new Set(buckets)
      return all
        .filter(({ hash }) => wanted.has(bucketOf(hash, depth)))
        .map(({ key, hash }): HashedRow => ({ key, bucket: bucketOf(hash, depth), hash: hash.subarray(0, 16).toString('hex') }))
    },
  }
}

const naive = (ours: ReadonlyMap<string, string | null>, theirs: ReadonlyMap<string, string | null>): string[] =>
  [...new Set([...ours.keys(), ...theirs.keys()])]
    .filter((key) => ours.has(key) !== theirs.has(key) || ours.get(key) !== theirs.get(key))
    .sort()

const values = fc.option(fc.constantFrom('', 'a', 'A', 'b', 'null'))
/** Rows that both have, and those that each has for itself or otherwise. */
const two = fc
  .tuple(fc.integer({ min: 0, max: 3000 }), fc.dictionary(fc.string(), values), fc.dictionary(fc.string(), values))
  .map(([shared, ours, theirs]) => {
    const common = Array.from({ length: shared }, (_, i): [string, string] => [`shared ${i}`, `value ${i % 7}`])
    return [new Map([...common, ...Object.entries(ours)]), new Map([...common, ...Object.entries(theirs)])] as const
  })

test('the tree finds what a comparison of all rows finds', async () => {
  await fc.assert(
    fc.asyncProperty(two, async ([ours, theirs]) => {
      const found = await findSuspects(side(ours), side(theirs), 100_000)
      expect([...found.keys].sort()).toEqual(naive(ours, theirs))
      expect(found).toMatchObject({ truncated: false, ourRows: ours.size, theirRows: theirs.size })
    }),
    { numRuns: 40 },
  )
})

test('also where a bucket has to be split more than once, and one side is empty', async () => {
  const many = new Map(Array.from({ length: 120_000 }, (_, i): [string, string] => [String(i), 'x']))
  const less = new Map([...many].filter(([key]) => key !== '77').map(([key, value]) => [key, key === '4711' ? 'y' : value]))
  let listed = 0
  const counting = (one: Side): Side => ({
    digests: one.digests,
    async rows(of) {
      const rows = await one.rows(of)
      listed += rows.length
      return rows
    },
  })
  expect((await findSuspects(counting(side(less)), side(many), 10)).keys).toEqual(expect.arrayContaining(['77', '4711']))
  expect(listed).toBeLessThan(100)
  const none = await findSuspects(side(new Map()), side(new Map([...many].slice(0, 3000))), 1000)
  expect(none).toMatchObject({ truncated: true, ourRows: 0, theirRows: 3000 })
  expect(none.keys).toHaveLength(1000)
})

// The mutant of the field: XOR is its own inverse, so that what is there twice is as if it were not there at all.
test('sums see two rows that are there twice, or changed alike; XOR does not', async () => {
  const xor = (hashes: readonly Buffer[]): Omit<Digest, 'bucket'> => {
    const word = (at: number): string => hashes.reduce((all, hash) => all ^ hash.readBigUInt64BE(at), 0n).toString(16)
    return { count: hashes.length, a: word(0), b: word(8) }
  }
  const one = Buffer.from('11'.repeat(32), 'hex')
  const other = Buffer.from('22'.repeat(32), 'hex')
  expect(xor([one, one])).toEqual(xor([other, other]))
  expect(digestOf([one, one])).not.toEqual(digestOf([other, other]))
})
