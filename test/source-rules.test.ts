import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

/** Rules about the text of packages' sources that no linter knows. */
const packages = new URL('../packages/', import.meta.url)

interface Rule {
  readonly title: string
  readonly forbidden: RegExp
  /** Paths below `packages/` where it is allowed. */
  readonly except: RegExp
  /** Are comments free to say it? */
  readonly comments: boolean
  readonly bad: string
  readonly good: string
}

const rules: readonly Rule[] = [
  {
    title: 'no source but its own knows a broker by name: adding a transport touches one package',
    forbidden: /\b(google|gcp|pub-?_?sub|nats|jet-?_?stream|kafka|rabbit-?mq|sqs)\b|pubsub|jetstream/i,
    except: /^(google-pubsub|nats)\//,
    comments: true,
    bad: "if (url.startsWith('googlePubSub:')) return",
    good: 'const subscriptions = publisher.topics // as Pub/Sub has them',
  },
  {
    title: 'no bare error: each has a code and says what to do',
    forbidden: /\bnew (Error|TypeError|RangeError|AggregateError)\(|\bthrow\s+['"`{]|\b(?<!class \w+ extends )Error\(['"`]/,
    except: /^comity\/src\/testing\/transport-laws\//, // whose handlers fail on purpose
    comments: true,
    bad: "throw new Error('no such table')",
    good: "throw new NoSuchTable({ table }) // was: new Error('no such table')",
  },
  {
    title: 'no interval outside foundation: it overlaps itself and survives its owner',
    forbidden: /\bsetInterval\b/,
    except: /^comity\/src\/foundation\//,
    comments: true,
    bad: 'globalThis.setInterval(tick, 5)',
    good: 'loop({ every: interval })',
  },
  {
    title: 'no sources that are deferred or switched off',
    forbidden: /\b(TODO|FIXME|XXX|HACK)\b|@ts-ignore|@ts-nocheck|eslint-disable/,
    except: /^$/,
    comments: false,
    bad: '// TODO: later',
    good: '// what is to do comes from the plan',
  },
]

const files = readdirSync(packages, { recursive: true, encoding: 'utf8' })
  .filter((path) => /^[^/]+\/src\/.*\.tsx?$/.test(path))
  .map((path) => ({ path, text: readFileSync(fileURLToPath(new URL(path, packages)), 'utf8') }))

/** Comments become blanks, so that line numbers stay. Texts in quotes are kept: a `//` inside one follows a colon or a quote. */
function withoutComments(text: string): string {
  const blank = (comment: string): string => comment.replace(/[^\n]/g, ' ')
  return text.replace(/\/\*[\s\S]*?\*\//g, blank).replace(/(?<![:'"`])\/\/.*$/gm, blank)
}

function offences(rule: Rule, text: string): string[] {
  const lines = (rule.comments ? withoutComments(text) : text).split('\n')
  return lines.flatMap((line, index) => (rule.forbidden.test(line) ? [`${index + 1}: ${line.trim()}`] : []))
}

describe.each(rules)('$title', (rule) => {
  test('in every source', () => {
    const found = files
      .filter(({ path }) => !rule.except.test(path))
      .flatMap(({ path, text }) => offences(rule, text).map((offence) => `packages/${path}:${offence}`))
    expect(found).toEqual([])
  })

  test('and the rule can tell', () => {
    expect(offences(rule, rule.bad)).toHaveLength(1)
    expect(offences(rule, rule.good)).toEqual([])
  })
})

describe('no SQL orders by a name that it gives to a text: ORDER BY takes the output, and 10 comes before 9', () => {
  /** The statement's own list: `order by x` beside `x::text as x` on one level of brackets. */
  const offences = (sql: string): string[] => {
    const level = sql.replace(/\((?:[^()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))*\)/g, '()')
    return [...level.matchAll(/::text as (\w+)/g)].flatMap(([, name]) =>
      new RegExp(`order by (?:[^)]*, )?${name}\\b`).test(level) ? [name as string] : [],
    )
  }
  test('in every source', () => {
    const statements = files.flatMap(({ path, text }) =>
      [...text.matchAll(/`[^`]*`|'[^'\n]*'/g)].map(([sql]) => ({ path, sql })).filter(({ sql }) => /select/i.test(sql)),
    )
    expect(statements.length).toBeGreaterThan(50)
    expect(statements.flatMap(({ path, sql }) => offences(sql).map((name) => `packages/${path}: order by ${name}`))).toEqual([])
  })
  test('and the rule can tell', () => {
    expect(offences('select id::text as id, key from t order by id limit 1')).toEqual(['id'])
    expect(offences('select id::text as id from (select * from t order by id) u order by u.id')).toEqual([])
  })
})

test('there are sources to look at', () => {
  expect(files.length).toBeGreaterThan(20)
})
