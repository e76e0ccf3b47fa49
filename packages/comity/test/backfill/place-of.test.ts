/** The chain of a backfill's chunks, whatever is repeated, taken again by another worker, or comes out of order. */
import { expect, test } from 'vitest'
import { type Position, placeOf } from '../../src/backfill/chunk-applier.ts'

const at = (version: number, follows: number, part = 1, parts = 1, term = 1): Position => ({ version, follows, part, parts, term })
const NOTHING = at(0, 0, 0, 0, 0)

test.each<[string, Position, Position, ReturnType<typeof placeOf>]>([
  ['the first', NOTHING, at(10, 0), 'next'],
  ['the first, in two parts', NOTHING, at(10, 0, 1, 2), 'next'],
  ['the second part', at(10, 0, 1, 2), at(10, 0, 2, 2), 'next'],
  ['a part that was passed over', at(10, 0, 1, 3), at(10, 0, 3, 3), 'early'],
  ['the next stretch', at(10, 0), at(20, 10), 'next'],
  ['the next stretch, before the last part of this one', at(10, 0, 1, 2), at(20, 10), 'early'],
  ['the one after the next', at(10, 0), at(30, 20), 'early'],
  ['the same again', at(20, 10), at(20, 10), 'repeated'],
  ['an older one again', at(20, 10), at(10, 0), 'repeated'],
  ['one that takes the place of what was sent and not saved', at(20, 10), at(25, 10, 1, 2, 2), 'instead'],
  ['in the middle of its parts', at(20, 10, 2, 5), at(25, 10, 1, 1, 2), 'instead'],
  ['drawn before the one whose place it takes', at(20, 10), at(19, 10, 1, 1, 2), 'instead'],
  ['sent again by the same worker after a failure', at(20, 10), at(25, 10), 'instead'],
  ['of a worker that has lost its lease', at(25, 10, 1, 1, 2), at(26, 10), 'repeated'],
  ['what follows one that has not come', at(20, 10), at(40, 25, 1, 1, 3), 'early'],
])('%s', (_, last, chunk, expected) => {
  expect(placeOf(chunk, last)).toBe(expected)
})
