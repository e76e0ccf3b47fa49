import { ComityError } from '@comity/contract'
import { HasByteOrderMark, NotJsonText, NotJsonValue, NotUtf8, SizeLimitTooHigh, TooDeep, TooLarge, TooManyNodes } from './errors.ts'

export const MAX_DEPTH = 64
export const MAX_NODES = 100_000
/** 1 MiB */
export const DEFAULT_MAX_BYTES = 1_048_576
/** 8 MiB: Pub/Sub's 10 MB include the attributes. */
export const HARD_MAX_BYTES = 8_388_608

/**
 * The publishing door: throws unless `value` is JSON as it is, so that nothing is dropped or changed when it is written:
 * no undefined, function, BigInt, symbol, Date, Map or other class, no cycle, no NaN, no hole in an array, no text that
 * Postgres would refuse (NUL) or quietly alter (half of a surrogate pair), no `__proto__`.
 */
export function guardJson(value: unknown): void {
  new Walk('write').visit(value)
}

/** Throws if the text is longer than `maxBytes` as UTF-8. */
export function guardSize(text: string | Uint8Array, maxBytes: number = DEFAULT_MAX_BYTES): void {
  if (!Number.isInteger(maxBytes) || maxBytes < 1 || maxBytes > HARD_MAX_BYTES) {
    throw new SizeLimitTooHigh({ bytes: maxBytes, limit: HARD_MAX_BYTES }, { limit: `${HARD_MAX_BYTES} bytes` })
  }
  if (text.length * 3 <= maxBytes) return
  const bytes = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength
  if (bytes > maxBytes) throw new TooLarge({ bytes, limit: maxBytes }, { limit: `${maxBytes} bytes` })
}

/** The receiving door: JSON from a text that someone else wrote. */
export function parseJson(input: string | Uint8Array, maxBytes: number = DEFAULT_MAX_BYTES): unknown {
  guardSize(input, maxBytes)
  const text = typeof input === 'string' ? input : decode(input)
  if (text.charCodeAt(0) === 0xfeff) throw new HasByteOrderMark({})
  // A shorter text cannot be deep enough to cost much; the walk finds it.
  const finite = text.length > SHORT ? guardDepth(text) : !HUGE.test(text)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new NotJsonText({ problem: syntaxProblem(text, cause) })
  }
  if (!finite || !isPlain(text)) new Walk('read').visit(value)
  return value
}

/**
 * The values of a JSON array that this team's own database wrote, each by the rules of {@link parseJson}: undefined for one that it would refuse.
 * Throws for what can't be taken apart at all.
 */
export function parseJsonEach(array: string): readonly unknown[] {
  const finite = guardDepth(array, MAX_DEPTH + 1)
  let values: unknown[]
  try {
    values = JSON.parse(array)
  } catch (cause) {
    throw new NotJsonText({ problem: syntaxProblem(array, cause) })
  }
  return finite && isPlain(array) ? values : values.map((value) => (isFit(value) ? value : undefined))
}

function isFit(value: unknown): boolean {
  try {
    new Walk('read').visit(value)
    return true
  } catch (error) {
    if (error instanceof ComityError) return false
    throw error
  }
}

/**
 * A text whose numbers are finite without anything else that the walk looks for: no escape that could be NUL or half a surrogate pair, no
 * `__proto__`, too short for too many values. Most messages are like that, and the walk costs more than the parser.
 * In a long one the depth is known already; a short one has too few brackets to be deep.
 */
function isPlain(text: string): boolean {
  if (text.length >= 2 * MAX_NODES || text.includes('\\u') || text.includes('__proto__') || !text.isWellFormed()) return false
  if (text.length > SHORT) return true
  let brackets = 0
  for (const bracket of ['{', '[']) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) if (++brackets > MAX_DEPTH) return false
  }
  return true
}
const HUGE = /\d[eE][+-]?\d{2}|\d{200}/
const SHORT = 4096

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new NotUtf8({}, { cause })
  }
}

/**
 * Depth without parsing: megabytes of `[` would become gigabytes of arrays. Answers whether no number can be endless: none has an exponent,
 * none has hundreds of digits.
 */
function guardDepth(text: string, most: number = MAX_DEPTH): boolean {
  let depth = 0
  let digits = 0
  let finite = true
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0x30 && code <= 0x39) {
      if (++digits > 300) finite = false
      continue
    }
    // 1e999; the e of true and false stands behind a letter.
    if (digits > 0 && (code === 0x65 || code === 0x45)) finite = false
    digits = 0
    switch (code) {
      case 0x22: // "
        do at = text.indexOf('"', at + 1)
        while (at > 0 && isEscaped(text, at))
        if (at < 0) return finite // not JSON: the parser says where
        break
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > most) throw new TooDeep({ path: `position ${at}`, limit: MAX_DEPTH }, { limit: `${MAX_DEPTH} levels` })
        break
      case 0x5d: // ]
      case 0x7d: // }
        depth--
    }
  }
  return finite
}

function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text.charCodeAt(first - 1) === 0x5c) first--
  return (at - first) % 2 === 1
}

/** The parser's own message quotes the text, which may be anyone's data. */
function syntaxProblem(text: string, cause: unknown): string {
  if (text.trim() === '') return 'it is empty'
  const position = /at position (\d+)/.exec(cause instanceof Error ? cause.message : '')?.[1]
  return position === undefined ? 'it is cut off, or has a syntax error' : `syntax error at position ${position}`
}

type Step = string | number

const INSTEAD: Readonly<Record<string, string>> = {
  Date: 'send it as a text: date.toISOString()',
  Map: 'send an object: Object.fromEntries(map)',
  Set: 'send an array: [...set]',
  Buffer: "send it as a text: buffer.toString('base64')",
  Uint8Array: "send it as a text: Buffer.from(bytes).toString('base64')",
}

/** One walk over a value; the path is only put into words when something is wrong. */
class Walk {
  private nodes = 0
  private readonly path: Step[] = []
  private readonly ancestors: object[] = []
  private readonly direction: 'read' | 'write'

  constructor(direction: 'read' | 'write') {
    this.direction = direction
  }

  visit(value: unknown): void {
    if (++this.nodes > MAX_NODES) throw new TooManyNodes({ limit: MAX_NODES }, { limit: `${MAX_NODES} values` })
    if (typeof value === 'string') this.text(value, 'a text')
    else if (typeof value === 'number') this.number(value)
    else if (typeof value === 'object' && value !== null) {
      if (Array.isArray(value)) this.array(value)
      else this.object(value)
    } else if (value === undefined) this.refuse('undefined', 'leave the field out, or send null')
    else if (typeof value === 'bigint') this.refuse('a BigInt', 'send it as a text: String(value)')
    else if (typeof value === 'function' || typeof value === 'symbol') this.refuse(`a ${typeof value}`, 'send data only')
  }

  private number(value: number): void {
    if (Number.isFinite(value)) return
    this.refuse(Number.isNaN(value) ? 'NaN' : 'a number beyond the range of numbers', 'send null, or the number as a text')
  }

  private array(array: readonly unknown[]): void {
    this.enter(array)
    for (let index = 0; index < array.length; index++) {
      this.path.push(index)
      this.visit(array[index])
      this.path.pop()
    }
    this.ancestors.pop()
  }

  private object(object: object): void {
    if (this.direction === 'write') this.guardKind(object)
    this.enter(object)
    for (const name of Object.keys(object)) {
      this.path.push(name)
      if (name === '__proto__') this.refuse('a property named __proto__', 'rename it')
      this.text(name, 'the name of a property')
      this.visit((object as Readonly<Record<string, unknown>>)[name])
      this.path.pop()
    }
    this.ancestors.pop()
  }

  private guardKind(object: object): void {
    const prototype: object | null = Object.getPrototypeOf(object)
    // Object.prototype of another realm (a test's sandbox) is no class either: nothing lies above it.
    const plain =
      prototype === null ||
      prototype === Object.prototype ||
      (Object.getPrototypeOf(prototype) === null && prototype.constructor.name === 'Object')
    if (!plain) {
      const name = prototype.constructor.name
      this.refuse(`an instance of ${name}`, INSTEAD[name] ?? 'send plain objects, arrays, texts, numbers, booleans and null')
    }
    if (Object.getOwnPropertySymbols(object).length > 0) this.refuse('a property named by a symbol', 'name it by a text')
  }

  private enter(object: object): void {
    if (this.ancestors.includes(object)) this.refuse('an object that contains itself', 'send a tree')
    if (this.ancestors.length >= MAX_DEPTH)
      throw new TooDeep({ path: this.where(), limit: MAX_DEPTH }, { path: this.where(), limit: `${MAX_DEPTH} levels` })
    this.ancestors.push(object)
  }

  private text(text: string, what: string): void {
    if (!text.isWellFormed()) this.refuse(`${what} with half of a surrogate pair`, 'cut texts between characters, not inside them')
    if (text.includes('\0')) this.refuse(`${what} with a NUL character`, 'remove it, or send the bytes as base64')
  }

  private refuse(problem: string, advice: string): never {
    throw new NotJsonValue({ path: this.where(), problem, advice }, { path: this.where() })
  }

  private where(): string {
    const words = this.path
      .map((step) => (typeof step === 'number' ? `[${step}]` : `.${/^[A-Za-z_$][\w$]{0,62}$/.test(step) ? step : '*'}`))
      .join('')
    return words === '' ? 'the data' : words.replace(/^\./, '')
  }
}
