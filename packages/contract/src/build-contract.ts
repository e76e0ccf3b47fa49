import type { ContractDescription, Deprecation } from './contract.ts'
import { InvalidContract, InvalidKeyField, UnknownField } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'
import { dereference, isObject } from './json-schema.ts'
import { checkName, checkSegment, checkTeamName, MAX_NAME_BYTES, ownerPart } from './names.ts'
import { readSchema } from './read-schema.ts'

/** The options of `entity` and `event` without their types. */
interface Options {
  readonly key: string | readonly string[]
  readonly tenant?: string
  readonly state?: unknown
  readonly data?: unknown
  readonly ordered?: boolean
  readonly owner?: string
  readonly former?: readonly string[]
  readonly audiences?: Readonly<Record<string, readonly string[]>>
  readonly contact?: string
  readonly entity?: unknown
  readonly rejects?: unknown
  readonly deprecated?: string | Readonly<Partial<Record<string, string>>>
}

const OPTIONS = {
  entity: ['key', 'tenant', 'state', 'owner', 'former', 'audiences', 'contact', 'deprecated'],
  event: ['key', 'tenant', 'data', 'ordered', 'owner', 'contact', 'deprecated'],
  request: ['entity', 'key', 'tenant', 'data', 'rejects', 'contact', 'deprecated'],
}
const A = { entity: 'an entity', event: 'an event', request: 'a request' }

/** Checks everything about a contract, once, and freezes it. */
export function buildContract(
  contractKind: ContractDescription['contractKind'],
  name: string,
  options: Options,
  root: 'state' | 'data',
): ContractDescription {
  checkName(name)
  if (!isObject(options)) throw new InvalidContract({ contract: name, problem: 'has no options', advice: `give it { key, ${root} }` })
  for (const option of Object.keys(options)) {
    if (!OPTIONS[contractKind].includes(option)) {
      throw new InvalidContract({
        contract: name,
        problem: `has an unknown option ${JSON.stringify(option)}`,
        advice: `the options of ${A[contractKind]} are ${OPTIONS[contractKind].join(', ')}`,
      })
    }
  }
  const owner = options.owner ?? ownerPart(name)
  checkTeamName(owner)
  const former = readFormer(name, options.former, owner)
  if (options.contact !== undefined && (typeof options.contact !== 'string' || options.contact === '')) {
    throw new InvalidContract({ contract: name, problem: 'has a contact that is not a text', advice: 'give an address or a channel' })
  }

  const schema = readSchema(name, options[root], root)
  const properties = schema.properties as Readonly<Record<string, unknown>>
  const fields = Object.freeze(Object.keys(properties))
  const keyFields = Object.freeze(typeof options.key === 'string' ? [options.key] : [...(options.key ?? [])])
  if (keyFields.length === 0 || new Set(keyFields).size < keyFields.length) {
    throw new InvalidContract({
      contract: name,
      problem: keyFields.length === 0 ? 'has no key' : 'names a key field twice',
      advice: "name the field, or the different fields, that identify it: key: 'id'",
    })
  }
  for (const field of keyFields) checkKeyField(name, 'key', field, schema)
  if (options.tenant !== undefined) checkKeyField(name, 'tenant', options.tenant, schema)

  return Object.freeze({
    contractKind,
    name,
    owner,
    ...(former.length === 0 ? {} : { former }),
    keyFields,
    ...(options.tenant === undefined ? {} : { tenantField: options.tenant }),
    schema,
    fields,
    ordered: contractKind === 'entity' || options.ordered === true,
    audiences: readAudiences(name, options.audiences ?? {}, fields),
    ...(options.contact === undefined ? {} : { contact: options.contact }),
    ...(options.deprecated === undefined
      ? {}
      : { deprecated: readDeprecation(name, options.deprecated, fields, [...keyFields, options.tenant]) }),
  })
}

function readFormer(contract: string, former: unknown = [], owner: string): readonly string[] {
  if (!Array.isArray(former))
    throw new InvalidContract({
      contract,
      problem: 'has a `former` that is no list',
      advice: "list the teams that owned it: former: ['crm']",
    })
  for (const team of former) checkTeamName(team)
  if (former.at(-1) === owner || former.some((team, i) => team === former[i - 1]))
    throw new InvalidContract({
      contract,
      problem: 'was handed over by a team to itself',
      advice: 'list the teams that owned it before, the first one first, without the owner of today',
    })
  return Object.freeze([...former])
}

function checkKeyField(contract: string, role: 'key' | 'tenant', field: string, schema: JsonSchema): void {
  const refuse = (problem: string): never => {
    throw new InvalidKeyField({ contract, role, field: JSON.stringify(field), problem }, { path: `${role}: ${field}` })
  }
  const properties = schema.properties as Readonly<Record<string, unknown>>
  if (typeof field !== 'string' || !Object.hasOwn(properties, field)) refuse('is not in its schema')
  const type = dereference(schema, properties[field])?.type
  if (type !== 'string' && type !== 'integer') {
    refuse(
      type === 'number'
        ? 'is a number that need not be an integer'
        : `is ${Array.isArray(type) ? type.join(' or ') : (type ?? 'of no single type')}`,
    )
  }
  if (!((schema.required ?? []) as readonly string[]).includes(field)) refuse('may be missing')
}

function readAudiences(
  contract: string,
  audiences: Readonly<Record<string, readonly string[]>>,
  fields: readonly string[],
): Readonly<Record<string, readonly string[]>> {
  const read: Record<string, readonly string[]> = {}
  for (const [audience, granted] of Object.entries(audiences)) {
    checkSegment('audience', audience)
    if (contract.length + 1 + audience.length > MAX_NAME_BYTES) {
      throw new InvalidContract({
        contract,
        problem: `and its audience ${audience} give a topic of more than ${MAX_NAME_BYTES} bytes`,
        advice: 'shorten one of the two names',
      })
    }
    for (const field of granted) {
      if (!fields.includes(field))
        throw new UnknownField({ contract, field: JSON.stringify(field), fields: fields.join(', ') }, { path: `audiences.${audience}` })
    }
    read[audience] = Object.freeze([...new Set(granted)])
  }
  return Object.freeze(read)
}

function readDeprecation(
  contract: string,
  deprecated: string | Readonly<Partial<Record<string, string>>>,
  fields: readonly string[],
  identity: readonly (string | undefined)[],
): Deprecation {
  const day = (value: unknown): string => {
    if (typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(value))) return value
    throw new InvalidContract({ contract, problem: `is deprecated from ${JSON.stringify(value)}`, advice: "give a day: '2027-01-31'" })
  }
  if (!isObject(deprecated)) return Object.freeze({ from: day(deprecated), fields: Object.freeze({}) })
  const days: Record<string, string> = {}
  for (const [field, from] of Object.entries(deprecated)) {
    if (!fields.includes(field))
      throw new UnknownField({ contract, field: JSON.stringify(field), fields: fields.join(', ') }, { path: `deprecated.${field}` })
    if (identity.includes(field))
      throw new InvalidContract({
        contract,
        problem: `deprecates ${field}, which says whose it is`,
        advice: 'deprecate the whole contract, and publish a new one under another name: key and tenant stay what they are',
      })
    days[field] = day(from)
  }
  return Object.freeze({ fields: Object.freeze(days) })
}
