import vm from 'node:vm'
import { fullFormats } from 'ajv-formats/dist/formats.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { patternCost } from '../../src/schema/pattern-cost.ts'

const sandbox = vm.createContext({})

/** Milliseconds of processor time (the machine may be busy) that a pattern takes for a text; stops after `limit` on the wall clock. */
function timeOf(pattern: string, text: string, limit: number): number {
  const before = process.cpuUsage()
  try {
    Object.assign(sandbox, { pattern, text })
    vm.runInContext('new RegExp(pattern, "u").test(text)', sandbox, { timeout: limit })
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return limit
    throw error
  }
  return process.cpuUsage(before).user / 1_000
}

describe('a pattern that backtracks without end', () => {
  const texts: Readonly<Record<string, string>> = {
    '^(a+)+$': 'a',
    '^(a|a)*$': 'a',
    '^(a|aa)+$': 'a',
    '^(a*)*$': 'a',
    '^(a?b?)*$': 'ab',
    '^([a-zA-Z]+)*$': 'a',
    '^(\\w+\\s?)*$': 'a',
    '^([0-9a-z]+-?)+[A-Z]$': 'a',
    '^(([a-z])+.)+[A-Z]([a-z])+$': 'a',
    '^(?:.*a){25}$': 'a',
    '^(a?){30}a{30}$': 'a',
    '^(a{1,2}){30}$': 'a',
    [`^${'a?'.repeat(30)}${'a'.repeat(30)}$`]: 'a',
    '^(?:a|[^!])+$': 'a',
    '(?:\\p{L}+ ?)+$': 'é',
  }

  it.each(Object.entries(texts))('%s is refused', (pattern, text) => {
    expect(patternCost(pattern)).toHaveProperty('problem')
    // The proof that it deserves it. `!` is what it cannot match.
    expect(timeOf(pattern, `${text.repeat(80 / text.length)}!`, 300)).toBe(300)
  })

  it('is refused also where the repetition is too long to be written out', () => {
    const pattern = '^(a?){200}a{200}$'
    expect(patternCost(pattern)).toHaveProperty('problem')
    expect(timeOf(pattern, `${'a'.repeat(220)}!`, 300)).toBe(300)
  })

  it('is refused where nobody can tell: with back references', () => {
    expect(patternCost('(a)\\1')).toHaveProperty('problem')
    expect(patternCost('(?<x>a)\\k<x>')).toHaveProperty('problem')
  })

  it('is refused if a high power of the length makes it as bad', () => {
    expect(patternCost('^a*a*a*a*a*b$')).toHaveProperty('problem')
  })
})

describe('a pattern whose time grows with a power of the length', () => {
  it.each([
    ['^a*a*b$', 2236],
    ['^a*a*a*b$', 118],
    ['^[^@]+@[^@]+\\.[^@]+$', 3162],
    ['\\s+$', 2236],
    ['a*b', 1825],
  ])('%s bounds the text to %d characters', (pattern, maxLength) => {
    expect(patternCost(pattern)).toEqual({ maxLength })
    expect(timeOf(pattern, 'a'.repeat(maxLength), 20_000)).toBeLessThan(1_000)
  })
})

describe('an ordinary pattern', () => {
  /** Above it a bound is none: the longest message has 8 MiB, and what zod checks is far shorter. */
  const ANY = 10_000

  it.each([
    '^\\d{4}-\\d{2}-\\d{2}$',
    '^[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}$',
    '^\\S+$',
    '\\S',
    '\\d+',
    '',
    '^$',
    '^(?:(?:[a-z]+)-)*[a-z]+$',
    '^(0|1)+$',
    '^(?=.*\\d)(?=.*[a-z])(?=.*[A-Z]).{8,}$',
    '^\\p{Lu}[\\p{L} ]*$',
    '^[\\[\\]/\\\\^-]+\\/\\u{1F600}?\\u0041\\x42\\cA(?<name>a)(?:b)(?!c)(?<=d)(?<!e)x*?y{2,}z{0}$',
    '^😀+$',
  ])('%s is taken for any text', (pattern) => {
    expect(patternCost(pattern)).toHaveProperty('maxLength')
    expect((patternCost(pattern) as { maxLength: number }).maxLength).toBeGreaterThan(ANY)
  })

  it('of zod is taken for any text', () => {
    const schemas = [
      ...[
        z.email(),
        z.uuid(),
        z.guid(),
        z.cuid(),
        z.cuid2(),
        z.ulid(),
        z.xid(),
        z.ksuid(),
        z.nanoid(),
        z.ipv4(),
        z.ipv6(),
        z.cidrv4(),
        z.cidrv6(),
      ],
      ...[z.base64(), z.base64url(), z.e164(), z.emoji(), z.hostname(), z.iso.date(), z.iso.time(), z.iso.datetime(), z.iso.duration()],
      ...[z.email({ pattern: z.regexes.html5Email }), z.string().startsWith('a').includes('b'), z.templateLiteral(['a', z.number()])],
    ]
    const patterns = JSON.stringify(schemas.map((schema) => z.toJSONSchema(schema, { io: 'input' })))
    const found = [...patterns.matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map((match) => JSON.parse(match[1] as string) as string)
    expect(found.length).toBeGreaterThan(20)
    for (const pattern of found) expect([pattern, (patternCost(pattern) as { maxLength: number }).maxLength > ANY]).toEqual([pattern, true])
  })

  it('behind a format that we check is linear too, for any address that is one', () => {
    for (const name of [
      'duration',
      'email',
      'hostname',
      'ipv4',
      'ipv6',
      'uri-reference',
      'uri-template',
      'uuid',
      'json-pointer',
      'relative-json-pointer',
    ] as const) {
      const format = fullFormats[name]
      if (!(format instanceof RegExp)) expect.unreachable(`${name} is no regular expression`)
      expect([name, (patternCost(format.source, format.flags) as { maxLength: number }).maxLength > 1_000]).toEqual([name, true])
    }
  })
})

describe('any pattern', () => {
  const { pattern } = fc.letrec<{ pattern: string; part: string; group: string }>((tie) => ({
    pattern: fc.array(tie('part'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
    group: fc.oneof(
      { maxDepth: 3, depthSize: 'small' },
      fc.constantFrom('a', 'b', '[ab]', '.', 'ab', 'a?'),
      fc.array(tie('pattern'), { minLength: 1, maxLength: 3 }).map((parts) => `(?:${parts.join('|')})`),
    ),
    part: fc
      .tuple(tie('group'), fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,3}', '{2,}'))
      .map(([group, quantifier]) => (group.length > 1 && !/^[[(]/.test(group) ? `(?:${group})${quantifier}` : `${group}${quantifier}`)),
  }))

  it('that is taken comes to an end on every text within its bound', () => {
    fc.assert(
      fc.property(pattern, fc.boolean(), fc.stringMatching(/^[ab]{1,4}$/), (body, anchored, unit) => {
        const whole = anchored ? `^(?:${body})$` : `${body}$`
        const cost = patternCost(whole)
        fc.pre('maxLength' in cost)
        const length = Math.min((cost as { maxLength: number }).maxLength, 4_000)
        expect(timeOf(whole, `${unit.repeat(Math.ceil(length / unit.length)).slice(0, length - 1)}!`, 20_000)).toBeLessThan(5_000)
      }),
      { numRuns: 100 },
    )
  })
})
