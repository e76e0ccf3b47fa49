import { type ContractDescription, describe, fieldsOn, keyOf } from '@comity/contract'
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
  readonly validator: Validator
  readonly audience?: string
  /** Fields that it is given; absent: all. */
  readonly fields?: readonly string[] | undefined
  readonly lifts: readonly Lift[]
}

/** Reads the data of a message. */
export type Read = (text: string, key: string) => { readonly data: unknown; readonly text: string }

/**
 * Data that fits the reader is taken as it is. What does not is held against the older versions that it knows to lift, each of which
 * may lead to another one; what comes out has to fit, and to be of the same key. Throws COMITY_INVALID_MESSAGE, COMITY_LIFT_FAILED and
 * COMITY_LIFTED_INVALID, which park the message.
 */
export function reader({ contract, validator, audience, fields, lifts }: Reading): Read {
  const own = lifts.filter(({ to }) => to.name === contract.name)
  const pick = fields === undefined ? undefined : picker(contract, fields)
  const validators = new Map(own.map((one) => [one, compile(sentBy(one.from, audience))]))

  /** Undefined: no older version that leads to this one fits. */
  function lifted(data: unknown, to: ContractDescription, fits: Validator, key: string): unknown {
    for (const one of own) {
      if (!isSame(one.to, to)) continue
      const older = validators.get(one) as Validator
      const from = older.validate(data) === undefined ? data : lifted(data, one.from, older, key)
      if (from === undefined) continue
      const made = apply(one, from)
      const problem = fits.validate(made)
      if (problem !== undefined) throw new LiftedInvalid({ contract: to.name, problem: problem.message }, { path: problem.path })
      if (keyOf(to, made as never) !== key) throw new LiftedInvalid({ contract: to.name, problem: 'it is of another key' })
      return made
    }
    return undefined
  }

  return (text, key) => {
    const data = parse(text)
    const problem = validator.validate(data)
    if (problem === undefined) return { data: pick?.(data as never) ?? data, text }
    const made = own.length === 0 ? undefined : lifted(data, contract, validator, key)
    if (made === undefined) throw new InvalidMessage({ problem: problem.message }, { path: problem.path })
    return { data: pick?.(made as never) ?? made, text: JSON.stringify(made) }
  }
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
