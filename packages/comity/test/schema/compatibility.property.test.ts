import { ComityError, type JsonSchema } from '@comity/contract'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { full } from '../../../../test/support/full.ts'
import { compile, knownFields, refusalsOf, type Validator } from '../../src/schema/index.ts'
import { type Dice, dice, documentOf, schemaFamily } from './schema-pairs.ts'

/**
 * The oracle is the validator that the engine itself asks, with its own settings: of a pair that is called compatible it refuses no
 * document that the writer may send. Each family of eight schemas, made of each other by some changes, gives up to 56 pairs.
 */
const FAMILIES = full ? 2400 : 8
const SIZE = 8
const DOCUMENTS = 16
/** Pairs of a family, the share of them that is compatible, and of the others for which a document was found: of few families these vary more. */
const LEAST = full ? { pairs: 42, compatible: 0.25, witnessed: 0.5 } : { pairs: 10, compatible: 0.05, witnessed: 0.2 }

test('no document of a pair that is called compatible is refused', { timeout: 3_600_000 }, () => {
  const count = { pairs: 0, compatible: 0, refused: 0, witnessed: 0, certain: 0, certainWitnessed: 0, documents: 0 }
  fc.assert(
    fc.property(dice, (d) => {
      const family = schemaFamily(d, SIZE).flatMap(usable)
      for (const [place, writer] of family.entries()) {
        const documents = documentsOf(d, place, family)
        count.documents += documents.length
        for (const reader of family) {
          if (JSON.stringify(reader.schema) === JSON.stringify(writer.schema)) continue
          const refusals = refusalsOf(writer.schema, reader.schema)
          const witness = documents.find((sent) => reader.validator.validate(sent) !== undefined)
          count.pairs++
          if (refusals.length === 0) {
            count.compatible++
            expect(witness, JSON.stringify({ writer: writer.schema, reader: reader.schema, witness })).toBeUndefined()
            continue
          }
          const certain = refusals.some((one) => one.certain)
          count.refused++
          if (certain) count.certain++
          if (witness !== undefined) count.witnessed++
          if (certain && witness !== undefined) count.certainWitnessed++
        }
      }
    }),
    { numRuns: FAMILIES, endOnFailure: true },
  )
  console.log(JSON.stringify(count))
  // So that neither "always no" nor documents that say nothing would pass.
  expect(count.pairs).toBeGreaterThan(LEAST.pairs * FAMILIES)
  expect(count.compatible).toBeGreaterThan(LEAST.compatible * count.pairs)
  expect(count.witnessed).toBeGreaterThan(LEAST.witnessed * count.refused)
})

interface Member {
  readonly schema: JsonSchema
  readonly validator: Validator
}

/** What no contract could have (the strict mode of the validator) is left out. */
function usable(schema: JsonSchema): readonly Member[] {
  try {
    return [{ schema, validator: compile(schema) }]
  } catch (error) {
    if (error instanceof ComityError) return []
    throw error
  }
}

/** Made for one or another of the family, for at their borders they differ; those that the writer may send. */
function documentsOf(d: Dice, writer: number, family: readonly Member[]): readonly unknown[] {
  const { schema, validator } = family[writer] as Member
  const known = knownFields(schema)
  return Array.from({ length: DOCUMENTS }, (_, at) => {
    const made = at % 2 === 0 ? schema : (family[at % family.length] as Member).schema
    return known(documentOf(d, made, made))
  }).filter((sent) => validator.validate(sent) === undefined)
}
