import { type Conjunction, least, most, type Part, sayings } from './conjunction.ts'
import { type Refusal, refusal } from './refusal.ts'
import type { TypeName } from './types.ts'

export interface Bound {
  readonly at: number
  /** The bound itself is not in. */
  readonly open: boolean
}

/** Bounds of numbers, and what they are multiples of. */
export function numberRefusals(writer: Conjunction, type: TypeName, { group, schema }: Part, path: string): readonly Refusal[] {
  if (group === 'multipleOf') return multipleRefusals(writer, type, schema.multipleOf as number, path)
  const asked: Bound = { at: schema[group] as number, open: group.startsWith('exclusive') }
  const low = group === 'minimum' || group === 'exclusiveMinimum'
  const said = low ? lowOf(writer, type) : highOf(writer, type)
  if (said !== undefined && (low ? isWithin(said.at, asked.at, said, asked) : isWithin(asked.at, said.at, said, asked))) return []
  const words = `${low ? (asked.open ? 'above' : 'at least') : asked.open ? 'below' : 'at most'} ${asked.at}`
  const sent = said === undefined ? `any ${type}` : `${low ? 'as low as' : 'as high as'} ${said.at}`
  return [refusal(path, 'bound', `it may be ${sent}, and the reader takes only what is ${words}`)]
}

function isWithin(inner: number, outer: number, said: Bound, asked: Bound): boolean {
  return inner > outer || (inner === outer && (!asked.open || said.open))
}

/** The lowest number; of integers the lowest integer. */
export function lowOf(conjunction: Conjunction, type: TypeName): Bound | undefined {
  return tightest(most(conjunction, 'minimum'), most(conjunction, 'exclusiveMinimum'), type, 1)
}
export function highOf(conjunction: Conjunction, type: TypeName): Bound | undefined {
  return tightest(least(conjunction, 'maximum'), least(conjunction, 'exclusiveMaximum'), type, -1)
}

function tightest(closed: number | undefined, open: number | undefined, type: TypeName, inwards: 1 | -1): Bound | undefined {
  const bounds: Bound[] = []
  if (closed !== undefined)
    bounds.push(type === 'integer' ? { at: inwards * Math.ceil(inwards * closed), open: false } : { at: closed, open: false })
  if (open !== undefined) {
    // Beyond the safe integers the next one can't be named.
    if (type === 'integer' && Math.abs(open) < Number.MAX_SAFE_INTEGER)
      bounds.push({ at: inwards * (Math.floor(inwards * open) + 1), open: false })
    else bounds.push({ at: open, open: true })
  }
  return bounds.sort((a, b) => inwards * (b.at - a.at) || Number(b.open) - Number(a.open))[0]
}

function multipleRefusals(writer: Conjunction, type: TypeName, asked: number, path: string): readonly Refusal[] {
  if (sayings<number>(writer, 'multipleOf').some((said) => isMultiple(writer, type, said, asked))) return []
  if (type === 'integer' && asked === 1 && isSafe(writer)) return []
  return [refusal(path, 'multiple', `it may be something else than a multiple of ${asked}, and the reader takes only that`)]
}

/** A validator divides in floating point: 0.3 is a multiple of 0.3 and not of 0.1. Only whole numbers that are exact can be told. */
function isMultiple(writer: Conjunction, type: TypeName, said: number, asked: number): boolean {
  if (said === asked) return true
  return type === 'integer' && Number.isSafeInteger(said) && Number.isSafeInteger(asked) && said % asked === 0 && isSafe(writer)
}

function isSafe(writer: Conjunction): boolean {
  const [low, high] = [lowOf(writer, 'integer'), highOf(writer, 'integer')]
  return low !== undefined && high !== undefined && Number.isSafeInteger(low.at) && Number.isSafeInteger(high.at)
}
