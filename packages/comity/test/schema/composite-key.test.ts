import { keyOf } from '@comity/contract'
import fc from 'fast-check'
import pg from 'pg'
import { expect, it } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'

it('a composite key is the same text in SQL as in JavaScript', async () => {
  const database = await freshDatabase()
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    const part = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .map((text) => text.normalize('NFC'))
      .filter((text) => !/\p{Cc}/u.test(text) && Buffer.byteLength(JSON.stringify(text)) < 200)
    await fc.assert(
      fc.asyncProperty(part, fc.maxSafeInteger(), async (region, id) => {
        const { rows } = await client.query<{ key: string }>(
          `select '[' || to_json($1::text)::text || ',' || to_json($2::bigint)::text || ']' as key`,
          [region, id],
        )
        expect(rows[0]?.key).toBe(keyOf({ keyFields: ['region', 'id'] }, { region, id }))
      }),
      { numRuns: 300 },
    )
  } finally {
    await client.end()
  }
})
