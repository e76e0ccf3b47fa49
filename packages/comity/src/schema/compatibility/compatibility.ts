import type { JsonSchema } from '@comity/contract'
import { FORMATS } from '../formats.ts'
import { shapeOf } from '../known-fields.ts'
import { arrayRefusals } from './arrays.ts'
import type { Comparing, Place } from './comparing.ts'
import { type Conjunction, conjunctionOf, type Part } from './conjunction.ts'
import { areDisjoint } from './disjoint.ts'
import { numberRefusals } from './numbers.ts'
import { objectRefusals } from './objects.ts'
import { distinct, type Refusal, refusal } from './refusal.ts'
import { resolved } from './resolved.ts'
import { textRefusals } from './texts.ts'
import { ofType, type TypeName, typeRefusals, typesOf } from './types.ts'
import { unionRefusals } from './unions.ts'
import { anyValueRefusals, valueRefusals, valuesOf } from './values.ts'

/** Of one comparison; some hundred are what ordinary contracts take. */
const MAX_STEPS = 20_000

/**
 * What a reader's schema refuses, or may refuse, of what a writer sends: of the documents that are valid for the writer's schema and
 * hold no fields but those that it names (a publisher drops all others, see `knownFields`). None: every one of them is valid for the
 * reader. It errs on the safe side: what could not be shown is named, as not certain.
 */
export function refusalsOf(writer: JsonSchema, reader: JsonSchema): readonly Refusal[] {
  const [sent, asked] = [takenApart(writer), takenApart(reader)]
  if (sent === undefined || asked === undefined)
    return [refusal('', 'complexity', 'with all its references written out it is too large to be compared', false)]
  return distinct(new Comparison().refusals(sent, asked, { path: '', shape: shapeOf(writer) }))
}

/** Contracts are frozen, and each is compared with many. */
const known = new WeakMap<JsonSchema, { readonly conjunction: Conjunction | undefined }>()

function takenApart(schema: JsonSchema): Conjunction | undefined {
  let apart = known.get(schema)
  if (apart === undefined) {
    const whole = resolved(schema, FORMATS)
    apart = { conjunction: whole === undefined ? undefined : conjunctionOf(whole) }
    known.set(schema, apart)
  }
  return apart.conjunction
}

class Comparison implements Comparing {
  private steps = 0

  refusals(writer: Conjunction, reader: Conjunction, at: Place): readonly Refusal[] {
    if (++this.steps > MAX_STEPS) return [refusal(at.path, 'complexity', 'it has too many alternatives to be compared', false)]
    const said = new Set(writer.map(({ text }) => text))
    const asked = reader.filter(({ text }) => !said.has(text))
    if (asked.length === 0 || writer.some(({ group }) => group === 'nothing')) return []

    const values = valuesOf(writer)
    if (values !== undefined) return valueRefusals(values, asked, at.path)
    const union = writer.find(({ group }) => group === 'anyOf' || group === 'oneOf')
    if (union !== undefined) return this.eachAlternative(writer, union, asked, at)
    const types = typesOf(writer)
    if (types.length > 1) return distinct(types.flatMap((type) => this.refusals(ofType(writer, type), asked, at)))
    return types.flatMap((type) => {
      const judge = (one: Part): readonly Refusal[] => this.judged(writer, type, one, at)
      const other = asked.filter(({ group }) => group === 'type').flatMap(judge)
      // Of values of a type that is refused as such nothing else is to be said.
      return other.length > 0 ? other : asked.flatMap(judge)
    })
  }

  private eachAlternative(writer: Conjunction, union: Part, asked: Conjunction, at: Place): readonly Refusal[] {
    const rest = writer.filter((one) => one !== union)
    // What the rest says may be enough; else each alternative with it.
    if (this.refusals(rest, asked, at).length === 0) return []
    const alternatives = union.schema[union.group] as readonly unknown[]
    return distinct(alternatives.flatMap((one) => this.refusals([...rest, ...conjunctionOf(one)], asked, at)))
  }

  /** One thing that the reader asks, of a writer's values that are of one type. */
  private judged(writer: Conjunction, type: TypeName, asked: Part, at: Place): readonly Refusal[] {
    switch (asked.group) {
      case 'nothing':
        return [refusal(at.path, 'forbidden', 'the reader takes nothing there')]
      case 'type':
        return typeRefusals(type, asked, at.path)
      case 'enum':
      case 'const':
        return anyValueRefusals(asked, at.path)
      case 'minimum':
      case 'exclusiveMinimum':
      case 'maximum':
      case 'exclusiveMaximum':
      case 'multipleOf':
        return type === 'number' || type === 'integer' ? numberRefusals(writer, type, asked, at.path) : []
      case 'minLength':
      case 'maxLength':
      case 'pattern':
      case 'format':
        return type === 'string' ? textRefusals(writer, asked, at.path) : []
      case 'items':
      case 'minItems':
      case 'maxItems':
      case 'uniqueItems':
      case 'contains':
        return type === 'array' ? arrayRefusals(writer, asked, at, this) : []
      case 'anyOf':
      case 'oneOf':
      case 'not':
      case 'if':
      case 'unevaluated':
        return unionRefusals(writer, asked, at, this)
      default:
        return type === 'object' ? objectRefusals(writer, asked, at, this) : []
    }
  }

  areDisjoint(one: Conjunction, other: Conjunction, at: Place): boolean {
    return ++this.steps <= MAX_STEPS && areDisjoint(one, other, at, this)
  }
}
