import { type ContractDescription, describe, fieldsOn, type JsonSchema, keyOf } from '@comity/contract'
import { compile, partialSchema, picker, type Validator } from '../schema/index.ts'
import { InvalidMessage, LiftedInvalid, LiftFailed } from './errors.ts'

/** How data of an older version of a contract becomes data of a newer one. */
export interface Lift {
  readonly from: ContractDescription
  readonly to: ContractDescription
  /** Pure: it may be called again for the same message. */
  readonly lift: (data: never) => unknown
}

export interface Reading {
  readonly contract: ContractDescription
  /** Of what this reader needs; what its messages are held against. */
  readonly schema: JsonSchema
  readonly audience?: string
  /** Fields that it is given; absent: all. */
  readonly fields?: readonly string[] | undefined
  readonly lifts: readonly Lift[]
}

/** Reads the data of a message. */
export type Read = (text: string, key: string) => { readonly data: unknown; readonly text: string }

/** What data is, if it was written under this schema: of cells, a NULL may be null or nothing. */
export type Written = (schema: JsonSchema) => unknown

export interface Reader {
  /** Throws COMITY_INVALID_MESSAGE, COMITY_LIFT_FAILED and COMITY_LIFTED_INVALID, which park the message. */
  readonly read: Read
  /** The same of data that did not come in a message of its own: of a chunk, of an audit's answer. Throws what `read` throws. */
  take(written: Written, key: string): unknown
  /** The older versions that lead to this one, as they are sent to this reader. */
  readonly older: readonly JsonSchema[]
}

/**
 * Data that fits the reader is taken as it is. What does not is held against the older versions that it knows to lift, each of which
 * may lead to another one; what comes out has to fit, and to be of the same key.
 */
export function reader({ contract, schema, audience, fields, lifts }: Reading): Reader {
  const own = leadingTo(contract, lifts)
  const pick = fields === undefined ? undefined : picker(contract, fields)
  const validator = compile(schema)
  const older = new Map(own.map((one) => [one, sentBy(one.from, audience)]))

  /** Undefined: no older version that leads to this one fits. */
  function lifted(written: Written, to: ContractDescription, fits: Validator, key: string, via: readonly Lift[] = []): unknown {
    for (const one of own) {
      // Lifts may lead back to where they came from.
      if (!isSame(one.to, to) || via.includes(one)) continue
      const sent = older.get(one) as JsonSchema
      const validated = compile(sent)
      const data = written(sent)
      const from = validated.validate(data) === undefined ? data : lifted(written, one.from, validated, key, [...via, one])
      if (from === undefined) continue
      const made = apply(one, from)
      const problem = fits.validate(made)
      if (problem !== undefined) throw new LiftedInvalid({ contract: to.name, problem: problem.message }, { path: problem.path })
      if (keyOf(to, made as never) !== key) throw new LiftedInvalid({ contract: to.name, problem: 'it is of another key' })
      return made
    }
    return undefined
  }

  function take(written: Written, key: string): unknown {
    const data = written(schema)
    const problem = validator.validate(data)
    if (problem === undefined) return data
    const made = lifted(written, contract, validator, key)
    if (made === undefined) throw new InvalidMessage({ problem: problem.message }, { path: problem.path })
    return made
  }

  return {
    take,
    older: [...older.values()],
    read(text, key) {
      const data = parse(text)
      const taken = take(() => data, key)
      return { data: pick?.(taken as never) ?? taken, text: taken === data ? text : JSON.stringify(taken) }
    },
  }
}

/** Directly, or by other ones. */
function leadingTo(contract: ContractDescription, lifts: readonly Lift[]): readonly Lift[] {
  const leading: Lift[] = []
  for (let ends: readonly ContractDescription[] = [contract]; ends.length > 0; ) {
    const before = lifts.filter((one) => !leading.includes(one) && ends.some((end) => end.name === one.to.name && isSame(one.to, end)))
    leading.push(...before)
    ends = before.map(({ from }) => from)
  }
  return lifts.filter((one) => leading.includes(one))
}

function apply({ lift, from }: Lift, data: unknown): unknown {
  try {
    return lift(data as never)
  } catch (cause) {
    throw new LiftFailed({ contract: from.name, reason: cause instanceof Error ? cause.name : typeof cause }, { cause })
  }
}

function sentBy(contract: ContractDescription, audience: string | undefined): ContractDescription['schema'] {
  return audience === undefined ? contract.schema : partialSchema(contract, fieldsOn(contract, audience))
}

/** A copied contract is the same one. */
function isSame(one: ContractDescription, other: ContractDescription): boolean {
  return one === other || JSON.stringify(describe(one)) === JSON.stringify(describe(other))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new InvalidMessage({ problem: 'it is not JSON' }, { cause })
  }
}
