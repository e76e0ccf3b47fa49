import { expect, test } from 'vitest'
import { type CopiedKey, classify } from '../../src/audit/classify.ts'
import type { HeldKey } from '../../src/audit/contracts.ts'

const at = 100
const of = (ours: Partial<CopiedKey>, theirs: Partial<HeldKey>, seenBefore = ours.version ?? 50): string | undefined =>
  classify({ key: 'k', hash: 'a', version: 50, ...ours }, { key: 'k', hash: 'a', ...theirs }, { at, seenBefore, lost: [[60, 70]] })

test.each([
  ['alike', {}, {}, undefined],
  ['on neither side', { hash: null, version: 0 }, { hash: null }, undefined],
  ['only there', { hash: null, version: 0 }, {}, 'missing'],
  ['only here', {}, { hash: null }, 'extra'],
  ['deleted here, and there it is', { hash: null, version: 40 }, {}, 'missing'],
  ['another content', { hash: 'b' }, {}, 'different'],
  ['another content of the same version', { hash: 'b' }, { version: 50 }, 'different'],
  ['a change that was not applied', { hash: 'b' }, { version: 51 }, 'stale'],
  ['a change of a lost history', { hash: 'b', version: 65 }, { version: 55 }, 'ahead'],
  ['a version of a repair, changed since', { hash: 'b', version: 75 }, { version: 55 }, 'different'],
  ['newer than what was read there', { hash: 'b', version: 101 }, {}, 'moving', 99],
  ['a version that no history has', { hash: 'b', version: 101 }, {}, 'ahead', 101],
  ['newer there than what was drawn', { hash: 'b' }, { moving: true as const }, 'moving'],
  ['alike by chance, while it is written', {}, { moving: true as const }, 'moving'],
  ['what the owner can not say', { hash: 'b' }, { withheld: 'COMITY_NUMBER_NOT_FINITE' }, 'withheld'],
  ['a key with a line', { hash: 'b', waiting: 'parked' }, {}, 'waiting'],
] as const)('%s', (_, ours, theirs, expected, seenBefore?: number) => {
  expect(of(ours, theirs, seenBefore)).toBe(expected)
})
