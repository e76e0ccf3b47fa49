import type { Entity, JsonSchema } from '@comity/contract'
import type { SubsetCondition } from '../catalog/declaration.ts'
import { replicaColumnType } from '../outbox/capture/index.ts'
import { compile } from '../schema/index.ts'
import { WhereUnfit } from './errors.ts'

type Scalar = string | number | boolean

/** What a field's value must be: itself, one of a list, or within bounds. `null` is a field without a value. */
export type Condition<Value> = [Value] extends [Scalar] ? Value | null | readonly (Value | null)[] | Bounds<Value> : never
/** All that are given hold. Texts are compared by their bytes, moments by their points in time; nothing is above or below null. */
export interface Bounds<Value> {
  readonly not?: Value | null
  readonly above?: Value
  readonly atLeast?: Value
  readonly below?: Value
  readonly atMost?: Value
}
/** Conditions on published fields, all of which hold: `{ status: 'active', region: ['eu', 'us'], closedAt: null, balance: { atLeast: 10 } }`. */
export type Where<State> = { readonly [Field in keyof State]?: Condition<NonNullable<State[Field]>> }

const OPS = { not: 'not', above: '>', atLeast: '>=', below: '<', atMost: '<=' } as const

/** The conditions as they are stored and sent: in the order of the fields' names. Throws COMITY_WHERE_UNFIT. */
export function subsetOf(entity: Entity, where: Readonly<Record<string, unknown>>, granted: readonly string[]): readonly SubsetCondition[] {
  return Object.keys(where)
    .filter((field) => where[field] !== undefined)
    .sort()
    .flatMap((field) => {
      const refuse = (problem: string): never => {
        throw new WhereUnfit({ entity: entity.name, field, problem }, { path: `where.${field}` })
      }
      if (!granted.includes(field)) refuse(`there is no such field; there are ${granted.join(', ')}`)
      return conditionsOn(field, where[field], fieldOf(entity, field), refuse)
    })
}

interface Field {
  readonly type: string
  fits(value: unknown): boolean
}

function fieldOf({ schema }: Entity, field: string): Field {
  const properties = (schema as { properties?: Readonly<Record<string, JsonSchema>> }).properties ?? {}
  const property = properties[field] ?? {}
  const validator = compile({
    ...(schema.$defs === undefined ? {} : { $defs: schema.$defs }),
    type: 'object',
    properties: { field: property },
  })
  return { type: replicaColumnType(property, schema), fits: (value) => validator.validate({ field: value }) === undefined }
}

function conditionsOn(
  field: string,
  given: unknown,
  { type, fits }: Field,
  refuse: (problem: string) => never,
): readonly SubsetCondition[] {
  if (type === 'jsonb') refuse('its values are objects, lists or of several kinds, which have no order and no one spelling')
  const as = type === 'timestamptz' ? { as: 'date-time' as const } : type === 'uuid' ? { as: 'uuid' as const } : {}
  const made = (op: SubsetCondition['op'], value: unknown): SubsetCondition => ({ field, op, value, ...as })
  const exact = (value: unknown): unknown => (value === null || fits(value) ? value : refuse(`${JSON.stringify(value)} is no value of it`))
  if (Array.isArray(given)) {
    if (given.length === 0) refuse('no value is in an empty list')
    return [made('in', given.map(exact))]
  }
  if (typeof given !== 'object' || given === null) return [made('=', exact(given))]
  const bounds = Object.entries(given).filter(([, value]) => value !== undefined)
  if (bounds.length === 0) refuse(`it has no bounds; there are ${Object.keys(OPS).join(', ')}`)
  return bounds.map(([name, value]) => {
    if (!Object.hasOwn(OPS, name)) refuse(`there is no bound "${name}"; there are ${Object.keys(OPS).join(', ')}`)
    const op = OPS[name as keyof typeof OPS]
    if (op === 'not') return made(op, exact(value))
    const ordered = type === 'boolean' ? undefined : type === 'bigint' || type === 'double precision' ? 'number' : 'string'
    // A bound need not be a value: of what is 18 or more, those above 0.
    if (typeof value !== ordered || (typeof value === 'number' && !Number.isFinite(value)))
      refuse(`${JSON.stringify(value)} is no bound of it`)
    return made(op, value)
  })
}
