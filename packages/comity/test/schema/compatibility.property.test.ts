import { ComityError, type JsonSchema } from '@comity/contract'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { full } from '../../../../test/support/full.ts'
import { compile, knownFields, refusalsOf, type Validator } from '../../src/schema/index.ts'
import { dice, documentOf, schemaPair } from './schema-pairs.ts'

/**
 * The oracle is the validator that the engine itself asks, with its own settings: of a pair that is called compatible it refuses no
 * document that the writer may send.
 */
const PAIRS = full ? 100_000 : 1500
const DOCUMENTS = 12

test('no document of a pair that is called compatible is refused', { timeout: 3_600_000 }, () => {
  const count = { pairs: 0, compatible: 0, refused: 0, certain: 0, witnessed: 0, certainWitnessed: 0, documents: 0 }
  fc.assert(
    fc.property(dice, (d) => {
      const { writer, reader } = schemaPair(d)
      const validators = usable(writer, reader)
      if (validators === undefined) return
      const refusals = refusalsOf(writer, reader)
      const [sends, takes] = validators
      const known = knownFields(writer)
      let witness: unknown
      for (let document = 0; document < DOCUMENTS; document++) {
        const sent = known(documentOf(d, document % 3 === 2 ? reader : writer, document % 3 === 2 ? reader : writer))
        if (sends.validate(sent) !== undefined) continue
        count.documents++
        if (takes.validate(sent) !== undefined) witness ??= sent
      }
      count.pairs++
      if (refusals.length === 0) {
        count.compatible++
        expect(witness, JSON.stringify({ writer, reader, witness })).toBeUndefined()
        return
      }
      count.refused++
      const certain = refusals.some((one) => one.certain)
      if (certain) count.certain++
      if (witness !== undefined) count.witnessed++
      if (certain && witness !== undefined) count.certainWitnessed++
    }),
    { numRuns: PAIRS, endOnFailure: true },
  )
  console.log(JSON.stringify(count))
  // So that neither "always no" nor documents that say nothing would pass.
  expect(count.pairs).toBeGreaterThan(0.8 * PAIRS)
  expect(count.compatible).toBeGreaterThan(0.2 * count.pairs)
  expect(count.witnessed).toBeGreaterThan(0.5 * count.refused)
})

/** Pairs that no contract could have (the strict mode of the validator) are left out. */
function usable(writer: JsonSchema, reader: JsonSchema): readonly [Validator, Validator] | undefined {
  try {
    return [compile(writer), compile(reader)]
  } catch (error) {
    if (error instanceof ComityError) return undefined
    throw error
  }
}
