/** `\s`, line ends, the first and last code points of planes and around the surrogates. */
const LANDMARKS = [
  0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xd7ff, 0xe000, 0xfeff, 0xffff, 0x10000, 0x1f600, 0x20000, 0x30000,
  0xe0001, 0xe0100, 0x10ffff,
]
/** With `\p{…}` every code point counts, save those inside the large blocks of one kind (CJK, Hangul, private use, planes 2 and above). */
const VARIED = [
  [0, 0x3400],
  [0x4dc0, 0x4e00],
  [0xa000, 0xac00],
  [0xd7a4, 0xd800],
  [0xf900, 0x17000],
  [0x18d00, 0x20000],
] as const
const WRITTEN = /\\u\{([\da-f]+)\}|\\u(d[89ab][\da-f]{2})\\u(d[c-f][\da-f]{2})|\\u([\da-f]{4})|\\x([\da-f]{2})|([\s\S])/giu

/**
 * Tells which one-character patterns can match the same character, by trying one character of every interval whose ends the
 * patterns can name: those written in them with their neighbours, those of `\d \w \s .`, and those of every kind if they use `\p{…}`.
 */
export function overlapOf(patterns: readonly string[], flags: string): (one: number, other: number) => boolean {
  const distinct = [...new Set(patterns)]
  const samples = samplesOf(distinct)
  const members = distinct.map((source) => {
    const set = new RegExp(`^(?:${source})$`, flags)
    return Uint8Array.from(samples, (sample) => (set.test(sample) ? 1 : 0))
  })
  const overlaps = members.map((one) => members.map((other) => one.some((hit, sample) => hit === 1 && other[sample] === 1)))
  const indexes = patterns.map((source) => distinct.indexOf(source))
  return (one, other) => overlaps[indexes[one] as number]?.[indexes[other] as number] === true
}

function samplesOf(patterns: readonly string[]): string[] {
  const points = new Set<number>()
  const around = (point: number): void => {
    for (const near of [point - 1, point, point + 1])
      if (near >= 0 && near <= 0x10ffff && (near < 0xd800 || near > 0xdfff)) points.add(near)
  }
  for (let point = 0; point < 0x180; point++) points.add(point)
  LANDMARKS.forEach(around)
  for (const match of patterns.join('').matchAll(WRITTEN)) {
    const [, braced, high, low, plain, hex, literal] = match
    if (literal !== undefined) around(literal.codePointAt(0) as number)
    else if (high !== undefined && low !== undefined)
      around(String.fromCharCode(Number.parseInt(high, 16), Number.parseInt(low, 16)).codePointAt(0) as number)
    else around(Number.parseInt((braced ?? plain ?? hex) as string, 16))
  }
  if (patterns.some((source) => /\\[pP]\{/.test(source))) {
    for (const [first, end] of VARIED) for (let point = first; point < end; point++) points.add(point)
  }
  return Array.from(points, (point) => String.fromCodePoint(point))
}
