/**
 * The type table (docs/architecture.md, "Types and names") as data: which Postgres type may stand for which type of field,
 * its form on the wire, and the column of a replica that gives that form back byte for byte.
 *
 * In templates `{v}` is an SQL expression of the column's type, `{c}` a replica's column, `{w}` the wire's text.
 */

/** How one type of column becomes one type of field. */
export interface Conversion {
  /** The wire's value as an SQL value, as the contract view shows it. */
  readonly value: string
  /** How JSON text is made of it: as it is (numbers, booleans, JSON), between quotes (nothing in it needs escaping), or escaped. */
  readonly json: 'bare' | 'quoted' | 'escaped'
  /** The JSON text, where it is not made of `value`. */
  readonly jsonText?: string
  /** A condition without which the value has no form on the wire: the change is withheld. */
  readonly fits?: { readonly condition: string; readonly reason: Reason }
  /** A number of bytes that a JSON text of it has at least (asked before a large one is built). Absent = always small. */
  readonly bytes?: string
  /** How an array of it becomes JSON: all at once by to_jsonb, or value by value (then of one dimension only). */
  readonly inArray: 'at once' | 'one by one' | 'refused'
  /** `fits` of an array that is converted at once; `{v}` is the array. */
  readonly arrayFits?: string
}
export type FieldKindName = 'boolean' | 'integer' | 'number' | 'string' | 'json'

/** Types of one behaviour. */
export interface TypeFamily {
  readonly types: readonly string[]
  /** What it is where the contract does not say (`any`, elements of an array). */
  readonly natural: FieldKindName
  readonly as: Readonly<Partial<Record<FieldKindName, Conversion>>>
  /** Which of the formats that JSON Schema defines a string field may have; absent = any. */
  readonly formats?: readonly string[]
  /** Two equal values have the same text: a row is found by its key's value alone. */
  readonly exact: boolean
}

/** Those formats (JSON Schema 2020-12, validation, section 7.3): of one that it does not define nobody knows what fits. */
export const DEFINED_FORMATS: ReadonlySet<string> = new Set(
  `date-time date time duration email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference iri iri-reference uuid
   uri-template json-pointer relative-json-pointer regex`.split(/\s+/),
)

/** Why a captured change is withheld; `code` stands in `comity.withheld`. */
export interface Reason {
  readonly code: string
  readonly reason: string
}
export const UNSAFE_INTEGER: Reason = { code: 'COMITY_INTEGER_UNSAFE', reason: 'is not an integer between ±(2^53 − 1)' }
export const NOT_FINITE: Reason = { code: 'COMITY_NUMBER_NOT_FINITE', reason: 'is not a finite double-precision number' }
export const JSON_UNFIT: Reason = {
  code: 'COMITY_JSON_UNFIT',
  reason: 'holds what no JSON column can keep (a NUL character, half of a surrogate pair, an endless number)',
}
export const ARRAY_UNFIT: Reason = { code: 'COMITY_ARRAY_UNFIT', reason: 'has more than one dimension' }
export const EXPRESSION_FAILED: Reason = {
  code: 'COMITY_EXPRESSION_FAILED',
  reason: 'could not be computed from this row, or has no form in JSON',
}
export const KEY_UNFIT: Reason = {
  code: 'COMITY_KEY_UNFIT',
  reason: 'is empty, longer than 256 bytes, not NFC, or has a control character',
}
export const TENANT_UNFIT: Reason = {
  code: 'COMITY_TENANT_UNFIT',
  reason: 'is empty, longer than 256 bytes, not NFC, or has a control character',
}
export const TOO_LARGE = 'COMITY_STATE_TOO_LARGE'

/** Below this many bytes on disk a value can't be too large for building its text; above, it is asked. */
const LARGE_ON_DISK = 65_536
const asked = `case when pg_column_size({v}) <= ${LARGE_ON_DISK} then 0 else comity.text_bytes({v}) end`
const SAFE = '9007199254740991'

const bare: Conversion = { value: '{v}', json: 'bare', inArray: 'at once' }
const text: Conversion = { value: '{v}::text', json: 'escaped', inArray: 'at once' }
const plainText: Conversion = { value: '{v}::text', json: 'quoted', inArray: 'one by one' }
const safe: Conversion = {
  ...bare,
  fits: { condition: `{v} between -${SAFE} and ${SAFE}`, reason: UNSAFE_INTEGER },
  arrayFits: `(-${SAFE} <= all ({v}) and ${SAFE} >= all ({v})) is not false`,
}
const finite = `{v} > '-Infinity' and {v} < 'Infinity'`
const allFinite = `('NaN' = any ({v})) is not true and ('Infinity' = any ({v})) is not true and ('-Infinity' = any ({v})) is not true`

/** RFC 3339 where it has years for it (1 to 9999); else Postgres's text, which no format accepts. GUCs have no say in the first. */
function dated(type: string, zone: string, shown: string): string {
  const bound = (day: string): string => `${type} '${day}${type === 'date' ? '' : ` 00:00:00${zone}`}'`
  const local = zone === '' ? '{v}' : `{v} at time zone 'UTC'`
  return `case when {v} >= ${bound('0001-01-01')} and {v} < ${bound('10000-01-01')} then to_char(${local}, '${shown}') else {v}::text end`
}

const TIMESTAMPTZ = dated('timestamptz', '+00', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
const TIMESTAMP = dated('timestamp', '', 'YYYY-MM-DD"T"HH24:MI:SS.US')
const DATE = dated('date', '', 'YYYY-MM-DD')

export const TYPE_TABLE: readonly TypeFamily[] = [
  { types: ['bool'], natural: 'boolean', as: { boolean: bare }, exact: true },
  { types: ['int2', 'int4'], natural: 'integer', as: { integer: bare, number: bare, string: plainText }, formats: [], exact: true },
  { types: ['int8'], natural: 'string', as: { string: plainText, integer: safe, number: safe }, formats: [], exact: true },
  {
    types: ['float8'],
    natural: 'number',
    // + 0: jsonb knows no negative zero, so the wire has none.
    as: {
      number: {
        value: '({v} + 0)',
        json: 'bare',
        fits: { condition: finite, reason: NOT_FINITE },
        inArray: 'at once',
        arrayFits: allFinite,
      },
    },
    exact: false,
  },
  {
    types: ['float4'],
    natural: 'number',
    // By its text: 0.1 of four bytes is 0.1 on the wire, not 0.10000000149011612.
    as: {
      number: {
        value: '({v}::text::float8 + 0)',
        json: 'bare',
        fits: { condition: finite, reason: NOT_FINITE },
        inArray: 'at once',
        arrayFits: allFinite,
      },
    },
    exact: false,
  },
  {
    types: ['numeric'],
    natural: 'string',
    as: {
      string: plainText,
      // The nearest double: what a consumer's JSON parser would make of it, and what a replica's column gives back.
      number: {
        value: `case when abs({v}) <= 1.7976931348623157e308 and ({v} = 0 or abs({v}) >= 5e-324) then {v}::float8 + 0 end`,
        json: 'bare',
        fits: { condition: 'abs({v}) <= 1.7976931348623157e308 and ({v} = 0 or abs({v}) >= 5e-324)', reason: NOT_FINITE },
        inArray: 'at once',
        arrayFits: allFinite,
      },
      integer: {
        value: `case when {v} between -${SAFE} and ${SAFE} then {v}::bigint end`,
        json: 'bare',
        fits: { condition: `{v} between -${SAFE} and ${SAFE} and {v} = trunc({v})`, reason: UNSAFE_INTEGER },
        inArray: 'refused',
      },
    },
    formats: [],
    exact: false,
  },
  { types: ['text', 'varchar'], natural: 'string', as: { string: { ...text, bytes: 'octet_length({v})' } }, exact: true },
  { types: ['bpchar', 'name', 'char'], natural: 'string', as: { string: text }, exact: true },
  { types: ['citext'], natural: 'string', as: { string: { ...text, bytes: 'octet_length({v}::text)' } }, exact: false },
  { types: ['enum'], natural: 'string', as: { string: text }, exact: true },
  { types: ['uuid'], natural: 'string', as: { string: { ...plainText, inArray: 'at once' } }, formats: ['uuid'], exact: true },
  {
    types: ['timestamptz'],
    natural: 'string',
    as: { string: { value: TIMESTAMPTZ, json: 'quoted', inArray: 'one by one' } },
    formats: ['date-time'],
    exact: true,
  },
  {
    types: ['timestamp'],
    natural: 'string',
    as: { string: { value: TIMESTAMP, json: 'quoted', inArray: 'one by one' } },
    formats: [],
    exact: true,
  },
  {
    types: ['date'],
    natural: 'string',
    as: { string: { value: DATE, json: 'quoted', inArray: 'one by one' } },
    formats: ['date'],
    exact: true,
  },
  {
    types: ['bytea'],
    natural: 'string',
    as: {
      string: { value: `translate(encode({v}, 'base64'), E'\\n', '')`, json: 'quoted', bytes: 'octet_length({v})', inArray: 'one by one' },
    },
    formats: ['byte', 'base64'],
    exact: true,
  },
  { types: ['interval'], natural: 'string', as: { string: plainText }, formats: ['duration'], exact: false },
  { types: ['time', 'macaddr', 'macaddr8'], natural: 'string', as: { string: plainText }, formats: [], exact: true },
  { types: ['timetz'], natural: 'string', as: { string: plainText }, formats: ['time'], exact: false },
  { types: ['money'], natural: 'string', as: { string: { ...text, inArray: 'one by one' } }, formats: [], exact: true },
  {
    types: ['inet'],
    natural: 'string',
    as: { string: { ...plainText, value: 'abbrev({v})' } },
    formats: ['ipv4', 'ipv6'],
    exact: false,
  },
  { types: ['cidr'], natural: 'string', as: { string: plainText }, formats: [], exact: false },
  { types: ['bit', 'varbit'], natural: 'string', as: { string: { ...plainText, bytes: asked } }, formats: [], exact: true },
  { types: ['xml'], natural: 'string', as: { string: { ...text, bytes: asked, inArray: 'refused' } }, formats: [], exact: false },
  {
    types: ['json'],
    natural: 'json',
    as: {
      json: {
        value: '{v}',
        json: 'bare',
        jsonText: 'comity.json_text({v})',
        fits: { condition: 'comity.json_text({v}) is not null', reason: JSON_UNFIT },
        bytes: asked,
        inArray: 'refused',
      },
    },
    exact: false,
  },
  { types: ['jsonb'], natural: 'json', as: { json: { ...bare, bytes: asked } }, exact: false },
]

/** Arrays of any family above whose elements can be in one. */
export const ARRAY_BYTES: string = asked

/** The column of a replica: which type, how the wire's text becomes it, and how it gives that text back. */
export interface ReplicaColumnType {
  readonly type: string
  readonly fromWire: string
  readonly toWire: string
}
const direct = (type: string): ReplicaColumnType => ({ type, fromWire: `({w})::${type}`, toWire: '({c})::text' })
const datedColumn = (type: string, toWire: string): ReplicaColumnType => ({
  type,
  fromWire: `({w})::${type}`,
  toWire: toWire.replaceAll('{v}', '({c})'),
})

/** For any, arrays and objects the wire's text is the text of its jsonb. */
export const REPLICA_COLUMNS: Readonly<
  Record<'boolean' | 'integer' | 'number' | 'string' | 'uuid' | 'date' | 'date-time' | 'timestamp' | 'json', ReplicaColumnType>
> = {
  boolean: direct('boolean'),
  integer: direct('bigint'),
  number: { ...direct('double precision'), toWire: '(({c}) + 0)::text' },
  string: { type: 'text', fromWire: '{w}', toWire: '{c}' },
  uuid: direct('uuid'),
  date: datedColumn('date', DATE),
  'date-time': datedColumn('timestamptz', TIMESTAMPTZ),
  /** Where `columns:` of a replica asks for it: on the wire it is a string without a format. */
  timestamp: datedColumn('timestamp', TIMESTAMP),
  json: direct('jsonb'),
}
