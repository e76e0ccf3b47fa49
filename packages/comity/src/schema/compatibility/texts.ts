import { type Conjunction, least, most, type Part, sayings } from './conjunction.ts'
import { type Refusal, refusal, shown } from './refusal.ts'

/** Lengths, patterns and formats of texts. */
export function textRefusals(writer: Conjunction, { group, schema }: Part, path: string): readonly Refusal[] {
  switch (group) {
    case 'minLength':
    case 'maxLength': {
      const asked = schema[group] as number
      const said = group === 'minLength' ? (most(writer, group) ?? 0) : (least(writer, group) ?? Number.POSITIVE_INFINITY)
      if (group === 'minLength' ? said >= asked : said <= asked) return []
      const [sent, bound] =
        group === 'minLength' ? [`of ${said}`, 'at least'] : [Number.isFinite(said) ? `of ${said}` : 'of any number of', 'at most']
      return [refusal(path, 'length', `it may be a text ${sent} characters, and the reader takes ${bound} ${asked}`)]
    }
    case 'pattern': {
      // Two patterns that are written differently may mean the same: that is not looked into.
      const said = sayings<string>(writer, 'pattern')
      if (said.includes(schema.pattern as string)) return []
      const unlike = said.length === 0 ? 'it has no pattern' : `its pattern is ${shown(said[0])}`
      return [refusal(path, 'pattern', `${unlike}, and the reader takes only what matches ${shown(schema.pattern)}`, said.length === 0)]
    }
    default: {
      const said = sayings<string>(writer, 'format')
      if (said.includes(schema.format as string)) return []
      const unlike = said.length === 0 ? 'it may be any text' : `its format is ${said[0]}`
      return [refusal(path, 'format', `${unlike}, and the reader takes only the format ${schema.format}`)]
    }
  }
}
