import type { Meaning } from '../known-fields.ts'
import type { Conjunction } from './conjunction.ts'
import type { Refusal } from './refusal.ts'

/** Where in the data two schemas are compared. */
export interface Place {
  readonly path: string
  /** The fields that the writer sends there; it drops all others. Undefined: any. */
  readonly shape: Meaning | undefined
}

/** What the rules for single subjects need of the whole. */
export interface Comparing {
  /** What a reader may refuse of the values that the writer's conjunction allows. */
  refusals(writer: Conjunction, reader: Conjunction, at: Place): readonly Refusal[]
  /** Whether it is certain that no value is in both. */
  areDisjoint(one: Conjunction, other: Conjunction, at: Place): boolean
}

export function below(at: Place, name: string): Place {
  const { shape } = at
  const path = at.path === '' ? name : `${at.path}.${name}`
  return { path, shape: isShape(shape) ? shape.properties?.get(name) : undefined }
}

export function inItems(at: Place): Place {
  return { path: `${at.path}[]`, shape: isShape(at.shape) ? at.shape.items : undefined }
}

/** The names that the writer may send there; undefined: any. */
export function namesSent({ shape }: Place): ReadonlySet<string> | undefined {
  return isShape(shape) && shape.properties !== undefined ? new Set(shape.properties.keys()) : undefined
}

function isShape(shape: Meaning | undefined): shape is Exclude<Meaning, string> {
  return shape !== undefined && typeof shape !== 'string'
}
