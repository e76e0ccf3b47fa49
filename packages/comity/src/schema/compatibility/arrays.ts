import { type Comparing, inItems, type Place } from './comparing.ts'
import { type Conjunction, conjunctionOf, least, most, type Part, partsOf, sayings } from './conjunction.ts'
import { type Refusal, refusal } from './refusal.ts'

/** Lists: their items by position, how many there are, whether they differ. */
export function arrayRefusals(writer: Conjunction, asked: Part, at: Place, comparing: Comparing): readonly Refusal[] {
  const { group, schema } = asked
  const longest = least(writer, 'maxItems') ?? Number.POSITIVE_INFINITY
  switch (group) {
    case 'items':
      return itemRefusals(writer, asked, longest, at, comparing)
    case 'minItems': {
      const said = most(writer, 'minItems') ?? 0
      if (said >= (schema.minItems as number)) return []
      return [refusal(at.path, 'count', `it may have ${said} items, and the reader takes at least ${schema.minItems}`)]
    }
    case 'maxItems':
      if (longest <= (schema.maxItems as number)) return []
      return [
        refusal(
          at.path,
          'count',
          `it may have ${Number.isFinite(longest) ? longest : 'any number of'} items, and the reader takes at most ${schema.maxItems}`,
        ),
      ]
    case 'uniqueItems':
      if (schema.uniqueItems !== true || longest <= 1 || sayings(writer, 'uniqueItems').includes(true)) return []
      return [refusal(at.path, 'unique', 'it may have the same item twice, and the reader takes it once')]
    default:
      return [refusal(at.path, 'condition', 'the reader asks for certain items among others', false)]
  }
}

function itemRefusals(writer: Conjunction, asked: Part, longest: number, at: Place, comparing: Comparing): readonly Refusal[] {
  const said = partsOf(writer, 'items')
  const prefixes = [...said, asked].map(({ schema }) => (schema.prefixItems as readonly unknown[] | undefined)?.length ?? 0)
  const different = Math.max(...prefixes)
  const refusals: Refusal[] = []
  // The last one stands for all that follow.
  for (let position = 0; position <= Math.min(different, longest - 1); position++) {
    const sent = said.flatMap((one) => conjunctionOf(itemAt(one, position)))
    refusals.push(...comparing.refusals(sent, conjunctionOf(itemAt(asked, position)), inItems(at)))
  }
  return refusals
}

function itemAt({ schema }: Part, position: number): unknown {
  const prefix = (schema.prefixItems as readonly unknown[] | undefined) ?? []
  return position < prefix.length ? prefix[position] : schema.items
}
