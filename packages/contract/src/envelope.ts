import { InvalidAttribute, MissingAttribute } from './errors.ts'
import { checkKey } from './key.ts'

/** What happened: an entity's change, or an event. */
export type MessageKind = 'created' | 'updated' | 'deleted' | 'event'

/**
 * The attributes of one message. On the wire: CloudEvents 1.0 in binary mode, i.e. attributes beside the data.
 * The attribute `partitionkey` always equals the subject and is no field of its own.
 */
export interface Envelope {
  /** The same on every resend: {@link messageId}. */
  readonly id: string
  /** `/teams/<team>` */
  readonly source: string
  /** The contract's name. */
  readonly type: string
  /** The key. */
  readonly subject: string
  /** RFC 3339, e.g. `2026-11-05T10:15:00.123456Z`. */
  readonly time: string
  /** URI of the schema. */
  readonly dataschema?: string
  /** W3C Trace Context, for the CloudEvents extension of that name. */
  readonly traceparent?: string
  /** `comityversion`: the owner's number of this state or event. */
  readonly version: number
  /** `comitykind` */
  readonly kind: MessageKind
  /** `comitytenant` */
  readonly tenant?: string
  /** Further CloudEvents extensions by their bare names, e.g. `{ comitysignature: '…' }`. */
  readonly extra?: Readonly<Record<string, string>>
}

/** Pub/Sub's limit for the value of an attribute. */
export const MAX_ATTRIBUTE_BYTES = 1024

const KINDS: readonly string[] = ['created', 'updated', 'deleted', 'event']
const OWN = [
  'id',
  'specversion',
  'source',
  'type',
  'subject',
  'time',
  'dataschema',
  'datacontenttype',
  'partitionkey',
  'traceparent',
  'data',
]
const RESERVED: ReadonlySet<string> = new Set([...OWN, 'comityversion', 'comitykind', 'comitytenant'])
/** The headers that most messages have and no others: they need no second look. */
const USUAL: ReadonlySet<string> = new Set(['content-type', ...[...RESERVED].map((name) => `ce-${name}`)])
const EXTENSION = /^[a-z0-9]{1,20}$/
const TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/
/** RFC 3986: a URI is ASCII without blanks; what else it must be is for those who follow it. */
const URI_CHARACTERS = /^[!#-;=?-\]_a-z~]*$/
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/
const TEAM_SOURCE = /^\/teams\/([a-z][a-z0-9]*(?:-[a-z0-9]+)*)$/
const JSON_TYPE = 'application/json'
const CONTENT_TYPE = /^application\/(?:[a-z0-9.-]+\+)?json *(?:;.*)?$/i

/** The id of a team's message: the same on every resend, unique over all teams. */
export function messageId(team: string, version: number): string {
  return `${team}-${version}`
}

/** The CloudEvents source of a team. */
export function sourceOf(team: string): string {
  return `/teams/${team}`
}

/** The team of a CloudEvents source; undefined if the source is not a team's. */
export function teamOfSource(source: string): string | undefined {
  return TEAM_SOURCE.exec(source)?.[1]
}

/**
 * The attributes as headers, `ce-…` and `content-type`, lower-case, values percent-encoded. One form serves HTTP, Kafka, NATS
 * and Pub/Sub, whose attributes take only the name's form and 1024 bytes.
 * Source: CloudEvents HTTP binding 1.0.2, section 3.1.3 (header names, percent-encoding).
 */
export function toAttributes(envelope: Envelope): Record<string, string> {
  check(envelope)
  const key = encode('subject', envelope.subject)
  const attributes: Record<string, string> = {
    'ce-specversion': '1.0',
    'ce-id': encode('id', envelope.id),
    'ce-source': encode('source', envelope.source),
    'ce-type': encode('type', envelope.type),
    'ce-subject': key,
    'ce-time': envelope.time,
    'ce-partitionkey': key,
    'ce-comityversion': String(envelope.version),
    'ce-comitykind': envelope.kind,
    'content-type': JSON_TYPE,
  }
  if (envelope.tenant !== undefined) attributes['ce-comitytenant'] = encode('comitytenant', envelope.tenant)
  if (envelope.dataschema !== undefined) attributes['ce-dataschema'] = encode('dataschema', envelope.dataschema)
  if (envelope.traceparent !== undefined) attributes['ce-traceparent'] = envelope.traceparent
  for (const [name, value] of Object.entries(envelope.extra ?? {})) {
    if (!EXTENSION.test(name) || RESERVED.has(name)) {
      throw new InvalidAttribute({ attribute: name, problem: 'is reserved, or not 1 to 20 lower-case letters and digits' })
    }
    attributes[`ce-${name}`] = encode(name, value)
  }
  return attributes
}

/** Reads what {@link toAttributes}, or any other sender of CloudEvents 1.0 in binary mode, wrote. Attributes without `ce-` are not looked at. */
export function fromAttributes(attributes: Readonly<Record<string, string>>): Envelope {
  const given = withLowerCaseNames(attributes)
  if (required(given, 'ce-specversion') !== '1.0') throw new InvalidAttribute({ attribute: 'ce-specversion', problem: 'is not "1.0"' })
  const contentType = given['content-type']
  if (contentType !== undefined && contentType !== JSON_TYPE && !CONTENT_TYPE.test(contentType)) {
    throw new InvalidAttribute({ attribute: 'content-type', problem: 'is not JSON' })
  }
  const subject = required(given, 'ce-subject')
  const partitionKey = optional(given, 'ce-partitionkey')
  if (partitionKey !== undefined && partitionKey !== subject) {
    throw new InvalidAttribute({ attribute: 'ce-partitionkey', problem: 'differs from the subject' })
  }
  const tenant = optional(given, 'ce-comitytenant')
  const dataschema = optional(given, 'ce-dataschema')
  const traceparent = optional(given, 'ce-traceparent')
  const extra = extensionsOf(given)
  const envelope: Envelope = {
    id: required(given, 'ce-id'),
    source: required(given, 'ce-source'),
    type: required(given, 'ce-type'),
    subject,
    time: required(given, 'ce-time'),
    version: versionOf(required(given, 'ce-comityversion')),
    kind: required(given, 'ce-comitykind') as MessageKind,
    ...(tenant === undefined ? undefined : { tenant }),
    ...(dataschema === undefined ? undefined : { dataschema }),
    ...(traceparent === undefined ? undefined : { traceparent }),
    ...(extra === undefined ? undefined : { extra }),
  }
  check(envelope)
  return envelope
}

type Attributes = Readonly<Record<string, string>>

/** Names of headers have no case, and some gateways capitalise them. */
function withLowerCaseNames(attributes: Attributes): Attributes {
  const names = Object.keys(attributes)
  if (names.every((name) => USUAL.has(name) || name === name.toLowerCase())) return attributes
  const lower: Record<string, string> = {}
  for (const name of names) {
    const lowerName = name.toLowerCase()
    if (Object.hasOwn(lower, lowerName)) throw new InvalidAttribute({ attribute: lowerName, problem: 'is there twice, in different cases' })
    lower[lowerName] = attributes[name] as string
  }
  return lower
}

/** Both doors check alike, so nothing is sent that would be refused at the other end. */
function check(envelope: Envelope): void {
  for (const name of ['id', 'source', 'type'] as const) {
    if (envelope[name] === '') throw new InvalidAttribute({ attribute: `ce-${name}`, problem: 'is empty' })
  }
  if (!URI_CHARACTERS.test(envelope.source)) throw new InvalidAttribute({ attribute: 'ce-source', problem: 'is not a URI' })
  if (envelope.dataschema !== undefined && !URI_CHARACTERS.test(envelope.dataschema)) {
    throw new InvalidAttribute({ attribute: 'ce-dataschema', problem: 'is not a URI' })
  }
  checkKey(envelope.subject, 'key', 'ce-subject')
  if (envelope.tenant !== undefined) checkKey(envelope.tenant, 'tenant', 'ce-comitytenant')
  if (!Number.isSafeInteger(envelope.version) || envelope.version < 1) {
    throw new InvalidAttribute({ attribute: 'ce-comityversion', problem: 'is not a positive safe integer' })
  }
  if (!KINDS.includes(envelope.kind))
    throw new InvalidAttribute({ attribute: 'ce-comitykind', problem: `is not one of ${KINDS.join(', ')}` })
  if (!TIME.test(envelope.time)) throw new InvalidAttribute({ attribute: 'ce-time', problem: 'is not an RFC 3339 time' })
  if (envelope.traceparent !== undefined && !TRACEPARENT.test(envelope.traceparent)) {
    throw new InvalidAttribute({ attribute: 'ce-traceparent', problem: 'is not a W3C traceparent' })
  }
}

function versionOf(text: string): number {
  return /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN
}

function extensionsOf(given: Attributes): Record<string, string> | undefined {
  let extra: Record<string, string> | undefined
  for (const header of Object.keys(given)) {
    if (USUAL.has(header) || !header.startsWith('ce-')) continue
    const name = header.slice(3)
    if (!EXTENSION.test(name)) throw new InvalidAttribute({ attribute: header, problem: 'is not 1 to 20 lower-case letters and digits' })
    extra ??= {}
    extra[name] = optional(given, header) as string
  }
  return extra
}

function required(given: Attributes, header: string): string {
  const value = optional(given, header)
  if (value === undefined) throw new MissingAttribute({ attribute: header })
  return value
}

function optional(given: Attributes, header: string): string | undefined {
  const value = given[header]
  return value === undefined ? undefined : decode(header, value)
}

const PLAIN = /^[!#$&-~]*$/

/** Space, `"`, `%` and everything outside U+0021–U+007E as percent-encoded UTF-8. */
function encode(name: string, value: string): string {
  if (typeof value !== 'string') throw new InvalidAttribute({ attribute: `ce-${name}`, problem: 'is not a string' })
  if (!value.isWellFormed()) throw new InvalidAttribute({ attribute: `ce-${name}`, problem: 'contains half of a surrogate pair' })
  const encoded = PLAIN.test(value) ? value : value.replace(/[^!#$&-~]+/gu, encodeURIComponent)
  if (encoded.length > MAX_ATTRIBUTE_BYTES) {
    throw new InvalidAttribute(
      { attribute: `ce-${name}`, problem: `is ${encoded.length} bytes long when percent-encoded` },
      { limit: `${MAX_ATTRIBUTE_BYTES} bytes` },
    )
  }
  return encoded
}

function decode(header: string, value: string): string {
  if (typeof value !== 'string') throw new InvalidAttribute({ attribute: header, problem: 'is not a string' })
  if (!value.includes('%') && !value.startsWith('"')) return value
  const unquoted = /^"(?:[^"\\]|\\.)*"$/s.test(value) ? value.slice(1, -1).replace(/\\(.)/gs, '$1') : value
  try {
    return decodeURIComponent(unquoted)
  } catch (cause) {
    throw new InvalidAttribute({ attribute: header, problem: 'is not percent-encoded UTF-8' }, { cause })
  }
}
