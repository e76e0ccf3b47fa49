import { event } from '@comity/contract'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { InvalidMessage } from '../../src/subscription/errors.ts'
import { type Lift, reader } from '../../src/subscription/reading.ts'

test('lifts that lead to each other end where nothing fits', () => {
  const one = event('crm.renamed', { key: 'id', data: z.object({ id: z.string(), name: z.string() }) })
  const other = event('crm.renamed', { key: 'id', data: z.object({ id: z.string(), fullName: z.string() }) })
  const lifts = [
    { from: one, to: other, lift: ({ id, name }: { id: string; name: string }) => ({ id, fullName: name }) },
    { from: other, to: one, lift: ({ id, fullName }: { id: string; fullName: string }) => ({ id, name: fullName }) },
  ] as unknown as readonly Lift[]
  const { read } = reader({ contract: other, schema: other.schema, lifts })
  expect(read('{"id":"c1","name":"Jane"}', 'c1').data).toEqual({ id: 'c1', fullName: 'Jane' })
  expect(() => read('{"id":"c1"}', 'c1')).toThrow(InvalidMessage)
})
