import { ComityError, type ContractDescription, fieldsOn } from '@comity/contract'
import { contractHash } from '../catalog/contract-hash.ts'
import type { SubsetCondition } from '../catalog/declaration.ts'
import type { Queryable } from '../postgres/database.ts'
import { compile, HARD_MAX_BYTES, parseJson, parseJsonEach, pickedFields, picker, type Validator } from '../schema/index.ts'
import { type CellColumn, type CellsJudge, cellsJudge } from './cells.ts'
import type { ReadableVersions } from './copy-reader.ts'
import { BackfillRefused } from './errors.ts'

/** One entity as a copy gets it. */
export interface PublishedEntity {
  /** What is said of each row beside key and tenant: what was asked for, and what the copy needs to lift it. */
  readonly said: readonly string[]
  /** Of which rows: where the copy lifts, it alone can tell which it keeps, and is told every row. */
  readonly subset: readonly SubsetCondition[] | undefined
  /** The copy lifts what this version says. */
  readonly lifted: boolean
  /** Whether there is such a field for this copy. */
  hasField(name: string): boolean
  /** The state's declared fields as JSON text, or why it can't be said. */
  stateOf(state: string | null, withheld: string | null): { readonly text: string } | { readonly withheld: true }
  /** The same for a JSON array of states; undefined where it can't be taken apart. */
  statesOf(states: string): SaidStates | undefined
  /** All of its fields, in the order in which rows are asked for as cells: what is picked comes first. Undefined where they can't be judged like that. */
  readonly fields: readonly string[] | undefined
  /** How such rows are judged, their kinds being `t` (text) or `j` (JSON). */
  table(kinds: string): SaidTable | undefined
}

export interface SaidTable {
  readonly judge: CellsJudge
  readonly picked: readonly CellColumn[]
}

export interface SaidStates {
  /** Whether the array that was given says just that: nothing was withheld, and nothing left out. */
  readonly same: boolean
  readonly count: number
  /** The JSON text of each state; undefined: withheld. */
  texts(): readonly (string | undefined)[]
}

export interface Wanted {
  /** Who asks. */
  readonly from: string
  readonly replica: string
  readonly entity: string
  readonly audience?: string | undefined
  readonly fields: readonly string[]
  /** Which rows: it tells the values of its fields, so these have to be granted, too. */
  readonly subset?: readonly SubsetCondition[] | undefined
  readonly versions?: ReadableVersions | undefined
}

const PUBLISHED = `
  select description::text as description, comity.handed_to(topic) as next from comity.contracts where topic = $1::text and kind = 'entity'`

/**
 * What the database says of an entity, for one copy. Asked again after rows were read, it has known no hand-over that any of them is from after. Throws
 * COMITY_BACKFILL_REFUSED for what the asking team was not granted: an audience is the team of its name.
 */
export async function publishedEntity(database: Queryable, wanted: Wanted): Promise<PublishedEntity> {
  const { from, replica, entity, audience } = wanted
  const { rows } = await database.query<{ description: string; next: string | null }>(PUBLISHED, [entity])
  const refuse = (reason: string): never => {
    throw new BackfillRefused({ replica, reason })
  }
  const description = rows[0]?.description
  if (description === undefined) return refuse(`this team does not own ${entity}`)
  // What stands here since is a history, and may have been written by somebody who did not know.
  const next = rows[0]?.next
  if (next != null) return refuse(`${entity} belongs to ${next} now: deploy a contract that says so (owner: '${next}')`)
  const contract = JSON.parse(description) as ContractDescription
  const audiences = Object.keys(contract.audiences)
  if (audiences.length > 0 && (audience === undefined || !audiences.includes(audience)))
    return refuse(`${entity} has the audiences ${audiences.join(', ')}, and not ${audience ?? 'none'}`)
  if (audiences.length > 0 && audience !== from) return refuse(`the audience ${audience} is not the team ${from}`)
  const granted = fieldsOn(contract, audiences.length === 0 ? undefined : audience)
  const liftable = fieldsToLift(wanted, contract, granted)
  const fields = liftable ?? wanted.fields
  const subset = liftable === undefined ? wanted.subset : undefined
  const other = [...fields, ...(subset ?? []).map(({ field }) => field)].find((field) => !granted.includes(field))
  if (other !== undefined) return refuse(`${entity} has no field ${other} for it`)
  const validator = validatorOf(description)
  const pick = picker(contract, fields)
  const picked = pickedFields(contract, fields)
  const isWhole = (data: object): boolean =>
    Object.keys(data).length === picked.length && picked.every((field) => Object.hasOwn(data, field))
  const all = [...new Set([...picked, ...granted])]
  const table = (kinds: string): SaidTable | undefined => {
    const columns = all.map((field, i): CellColumn => ({ field, as: kinds[i] === 'j' ? 'json' : 'text' }))
    const judge = judgeOf(description, columns)
    return judge && { judge, picked: columns.slice(0, picked.length) }
  }
  return {
    ...{ said: fields, subset, lifted: liftable !== undefined },
    hasField: (name) => granted.includes(name),
    fields: table('') === undefined ? undefined : all,
    table,
    statesOf(states) {
      const values = orUndefined(() => parseJsonEach(states))
      if (values === undefined) return undefined
      const read = values.map((data) => (data === undefined || validator.validate(data) !== undefined ? undefined : (data as object)))
      return {
        same: read.every((data) => data !== undefined && isWhole(data)),
        count: read.length,
        texts: () => read.map((data) => data && JSON.stringify(pick(data as Record<string, unknown>))),
      }
    },
    stateOf(state, withheld) {
      if (withheld !== null || state === null) return { withheld: true }
      const data = parsed(state)
      // By the relay's rules: what it would withhold is said to nobody.
      if (data === undefined || validator.validate(data) !== undefined) return { withheld: true }
      return { text: JSON.stringify(pick(data)) }
    },
  }
}

/**
 * Of a copy that has another version of the contract, and lifts one that this may be: all that the owner has of what it keeps and of what such a
 * version is made of. Undefined: it is to be told just what it keeps.
 */
function fieldsToLift(
  { fields, versions }: Wanted,
  contract: ContractDescription,
  granted: readonly string[],
): readonly string[] | undefined {
  if (versions === undefined || versions.own === contractHash(contract)) return undefined
  const older = versions.older.filter(({ required }) => required.every((field) => granted.includes(field)))
  if (older.length === 0) return undefined
  const base = [...contract.keyFields, contract.tenantField]
  const all = new Set([...fields, ...older.flatMap((one) => one.fields)])
  return [...all].filter((field) => granted.includes(field) && !base.includes(field))
}

/** Made once for each contract: to compile one takes as long as to judge a thousand states. */
function validatorOf(description: string): Validator {
  const known = validators.get(description)
  if (known !== undefined) return known
  const made = compile((JSON.parse(description) as ContractDescription).schema)
  if (validators.size >= MOST_KNOWN) validators.clear()
  validators.set(description, made)
  return made
}
const validators = new Map<string, Validator>()
const MOST_KNOWN = 50

function judgeOf(description: string, columns: readonly CellColumn[]): CellsJudge | undefined {
  const name = JSON.stringify([description, columns])
  const known = judges.get(name)
  if (known !== undefined) return known
  const made = cellsJudge((JSON.parse(description) as ContractDescription).schema, columns)
  if (made === undefined) return undefined
  if (judges.size >= MOST_KNOWN) judges.clear()
  judges.set(name, made)
  return made
}
const judges = new Map<string, CellsJudge>()

function parsed(state: string): Record<string, unknown> | undefined {
  return orUndefined(() => parseJson(state, HARD_MAX_BYTES) as Record<string, unknown>)
}

function orUndefined<Value>(parse: () => Value): Value | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof ComityError) return undefined
    throw error
  }
}
