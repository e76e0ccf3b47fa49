import fc from 'fast-check'
import { arrayLiteral } from '../../../src/postgres/index.ts'
import { boolean, type CapturedDatabase, integer, nullable, number, string } from './captured-database.ts'

/** One type of column as one type of field. */
export interface TypeCase {
  readonly type: string
  readonly field: object
  /** Texts that Postgres takes as values of the type. */
  readonly values: fc.Arbitrary<string>
  /** Is a value withheld? */
  readonly withheld?: (text: string) => boolean
}

const dateTime = { type: 'string', format: 'date-time' }
const date = { type: 'string', format: 'date' }
const uuid = { type: 'string', format: 'uuid' }
const any = {}
const array = (items: object): object => ({ type: 'array', items })

const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((value) => !value.includes('\0') && value.isWellFormed())
const texts = fc.oneof(text, fc.constantFrom('', '"', '\\', '\n\t\r\b\f', '\u0001\u001f\u007f', '\u2028', '😀', "'", 'null', '{}'))
const int = (bits: number): fc.Arbitrary<string> =>
  fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n }).map(String)
const doubles = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? '-0' : String(value))),
  fc.constantFrom('NaN', 'Infinity', '-Infinity', '0.1', '1e15', '1e21', '5e-324', '1.7976931348623157e308', '123456789012345680'),
)
const floats = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.constantFrom('NaN', 'Infinity', '0.1', '1e6', '3.4e38', '-0'),
)
const notFinite = (value: string): boolean => ['NaN', 'Infinity', '-Infinity'].includes(value)
const digits = (max: number): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: max }).map((list) => list.join(''))
const decimals = fc.oneof(
  fc.tuple(fc.constantFrom('', '-'), digits(40), digits(20)).map(([sign, whole, rest]) => `${sign}${whole}.${rest}`),
  digits(17),
  fc.constantFrom('0', '1.0', '1.00', 'NaN', '1e400', '1e-400', '-1e308', '9007199254740991', '9007199254740992', '12.5'),
)
const pad = (value: number, width: number): string => String(value).padStart(width, '0')
const dates = fc.oneof(
  fc
    .tuple(fc.integer({ min: 1, max: 12_000 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }))
    .map(([y, m, d]) => `${pad(y, 4)}-${pad(m, 2)}-${pad(d, 2)}`),
  fc.constantFrom('0001-01-01', '9999-12-31', '10000-01-01', '0044-03-15 BC', 'infinity', '-infinity', '2024-02-29'),
)
const times = fc
  .tuple(
    fc.integer({ min: 0, max: 23 }),
    fc.integer({ min: 0, max: 59 }),
    fc.integer({ min: 0, max: 59 }),
    fc.integer({ min: 0, max: 999_999 }),
  )
  .map(([h, m, s, us]) => `${pad(h, 2)}:${pad(m, 2)}:${pad(s, 2)}.${pad(us, 6)}`)
const moments = fc.oneof(
  fc
    .tuple(
      dates.filter((value) => /^\d+-\d+-\d+$/.test(value)),
      times,
    )
    .map(([day, time]) => `${day} ${time}`),
  fc.constantFrom(
    'infinity',
    '-infinity',
    '0044-03-15 12:00:00 BC',
    '9999-12-31 23:59:59.999999',
    '0001-01-01 00:00:00',
    '1969-12-31 23:59:59.999999',
  ),
)
const uuids = fc.uuid()
const bytes = fc.uint8Array({ maxLength: 200 }).map((value) => `\\x${Buffer.from(value).toString('hex')}`)
const json = fc.json({ maxDepth: 4, stringUnit: 'grapheme' }).filter((value) => !value.includes('\\u0000') && !/\\ud[89a-f]/i.test(value))
const list = (items: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.array(fc.option(items, { freq: 5 }), { maxLength: 5 }).map((values) => arrayLiteral(values))
const beyond = (value: string): boolean => Math.abs(Number(value)) > Number.MAX_SAFE_INTEGER
const unfitDecimal = (value: string): boolean => notFinite(value) || value === '1e400' || value === '1e-400'

/** Every row of the type table, with values that are hard for it. */
export const TYPE_CASES: readonly TypeCase[] = [
  { type: 'boolean', field: boolean, values: fc.constantFrom('t', 'f') },
  { type: 'int2', field: integer, values: int(16) },
  { type: 'int4', field: integer, values: int(32) },
  { type: 'int4', field: number, values: int(32) },
  { type: 'int4', field: string, values: int(32) },
  { type: 'int8', field: string, values: int(64) },
  { type: 'int8', field: any, values: int(64) },
  {
    type: 'int8',
    field: integer,
    values: fc.oneof(int(64), int(40), fc.constantFrom('9007199254740991', '9007199254740992')),
    withheld: (v) => BigInt(v) > 2n ** 53n - 1n || BigInt(v) < -(2n ** 53n) + 1n,
  },
  { type: 'float8', field: number, values: doubles, withheld: notFinite },
  { type: 'float4', field: number, values: floats, withheld: notFinite },
  { type: 'numeric', field: string, values: decimals },
  { type: 'numeric', field: number, values: decimals, withheld: unfitDecimal },
  { type: 'numeric', field: integer, values: decimals, withheld: (v) => unfitDecimal(v) || beyond(v) || /\.0*[1-9]/.test(v) },
  { type: 'numeric(12,2)', field: number, values: fc.integer({ min: -1e9, max: 1e9 }).map((v) => String(v / 100)) },
  { type: 'text', field: string, values: texts },
  { type: 'text', field: any, values: texts },
  { type: 'varchar(50)', field: string, values: text.map((v) => [...v].slice(0, 50).join('')) },
  { type: 'char(8)', field: string, values: fc.string({ maxLength: 8, unit: fc.constantFrom('a', 'b', ' ', '"') }) },
  { type: 'name', field: string, values: fc.string({ maxLength: 20, unit: fc.constantFrom('a', 'é', ' ', '"') }) },
  { type: 'citext', field: string, values: texts },
  { type: 'mood', field: string, values: fc.constantFrom('glad', 'so "so"', 'sa\\d') },
  { type: 'email', field: string, values: text.map((v) => `${v}@`) },
  { type: 'ratio', field: number, values: doubles, withheld: notFinite },
  { type: 'uuid', field: uuid, values: uuids },
  { type: 'uuid', field: string, values: uuids },
  { type: 'timestamptz', field: string, values: moments },
  { type: 'timestamptz', field: dateTime, values: moments },
  { type: 'timestamptz(0)', field: dateTime, values: moments },
  { type: 'timestamp', field: string, values: moments },
  { type: 'date', field: date, values: dates },
  { type: 'date', field: string, values: dates },
  { type: 'time', field: string, values: times },
  { type: 'timetz', field: string, values: times.map((v) => `${v}+05:45`) },
  {
    type: 'interval',
    field: string,
    values: fc
      .tuple(fc.integer({ min: -99, max: 99 }), fc.integer({ min: -9999, max: 9999 }), times)
      .map(([m, d, t]) => `${m} months ${d} days ${t}`),
  },
  { type: 'bytea', field: string, values: bytes },
  { type: 'inet', field: string, values: fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant('10.1.0.0/16')) },
  { type: 'cidr', field: string, values: fc.constantFrom('10.0.0.0/8', '::/0', '192.168.1.0/24') },
  { type: 'macaddr', field: string, values: fc.constantFrom('08:00:2b:01:02:03') },
  { type: 'bit(3)', field: string, values: fc.constantFrom('101', '000') },
  { type: 'varbit', field: string, values: fc.constantFrom('', '1', '10110') },
  { type: 'money', field: string, values: fc.integer({ min: -1e6, max: 1e6 }).map(String) },
  { type: 'xml', field: string, values: fc.constantFrom('<a b="c">d &amp; e</a>', 'plain') },
  { type: 'jsonb', field: any, values: json },
  { type: 'jsonb', field: { type: 'object' }, values: fc.constantFrom('{"a":1.50,"b":[1e2,"x"]}', '{"\\u00e9":null}') },
  { type: 'jsonb', field: array(any), values: fc.constantFrom('[1,2.0]', '[]') },
  {
    type: 'json',
    field: any,
    values: fc.oneof(json, fc.constantFrom('{"b":1, "a":1.50, "b":2}', '"\\u0000"', '"\\ud800"', '1e999999')),
    withheld: (v) => ['"\\u0000"', '"\\ud800"', '1e999999'].includes(v),
  },
  { type: 'text[]', field: array(nullable(string)), values: list(texts) },
  { type: 'text[]', field: any, values: list(texts) },
  { type: 'int4[]', field: array(nullable(integer)), values: list(int(32)) },
  { type: 'int4[]', field: array(integer), values: fc.constantFrom('{{1,2},{3,4}}', '{}') },
  { type: 'int8[]', field: array(nullable(string)), values: list(int(64)) },
  {
    type: 'int8[]',
    field: array(nullable(integer)),
    values: list(int(64)),
    withheld: (v) =>
      /\d/.test(v) &&
      v
        .slice(1, -1)
        .split(',')
        .some((part) => part !== 'NULL' && beyond(part.replaceAll('"', ''))),
  },
  { type: 'float8[]', field: array(nullable(number)), values: list(doubles), withheld: (v) => /NaN|Infinity/.test(v) },
  { type: 'numeric[]', field: array(nullable(string)), values: list(decimals) },
  { type: 'uuid[]', field: array(nullable(uuid)), values: list(uuids) },
  { type: 'mood[]', field: array(nullable(string)), values: list(fc.constantFrom('glad', 'so "so"')) },
  { type: 'date[]', field: array(nullable(date)), values: list(dates) },
  {
    type: 'timestamptz[]',
    field: array(nullable(dateTime)),
    values: fc.oneof(list(moments), fc.constant('{{now},{now}}')),
    withheld: (v) => v.startsWith('{{'),
  },
  { type: 'bytea[]', field: array(nullable(string)), values: list(bytes) },
  { type: 'jsonb[]', field: array(any), values: list(json) },
]

/** The types that the cases need beside Postgres's own. Answers whether the server has citext. */
export async function createTypes(crm: CapturedDatabase): Promise<boolean> {
  const citext = await crm.value<boolean>(`select exists (select from pg_available_extensions where name = 'citext')`)
  if (citext) await crm.run('create extension citext')
  await crm.run(
    `create type mood as enum ('glad', 'so "so"', 'sa\\d')`,
    `create domain email as text check (value like '%@')`,
    'create domain ratio0 as float8',
    'create domain ratio as ratio0',
  )
  return citext
}
