import type { JsonSchema } from '@comity/contract'
import { dereference, isObject } from '@comity/contract'

/**
 * What a publisher sends: the fields that the contract's schema names, at every level; what it does not name never leaves the team.
 * Where a schema leaves an object open (no `properties`, or `additionalProperties`), everything stays; the names of alternatives
 * count together. Returns the same value if nothing had to go. Runs before validation.
 */
export function knownFields(schema: JsonSchema): (value: unknown) => unknown {
  const shape = shapeOf(schema)
  return (value) => keep(value, shape)
}

/** What {@link knownFields} keeps, level by level. */
export function shapeOf(schema: JsonSchema): Meaning {
  return new ShapeReader(schema).shapeOf(schema)
}

export interface Shape {
  readonly properties?: ReadonlyMap<string, Meaning>
  readonly items?: Meaning
}
/** What a schema says of the fields of a value: their names; that there may be any; or nothing (it speaks of other things). */
export type Meaning = Shape | 'any' | 'silent'

function keep(value: unknown, shape: Meaning | undefined): unknown {
  if (shape === undefined || typeof shape === 'string' || value === null || typeof value !== 'object') return value
  return Array.isArray(value) ? keepItems(value, shape.items) : keepProperties(value, shape.properties)
}

function keepItems(value: readonly unknown[], shape: Meaning | undefined): unknown {
  const items = value.map((item) => keep(item, shape))
  return items.some((item, index) => item !== value[index]) ? items : value
}

function keepProperties(value: object, properties: ReadonlyMap<string, Meaning> | undefined): unknown {
  if (properties === undefined) return value
  const copy: Record<string, unknown> = {}
  let changed = false
  for (const [name, inner] of Object.entries(value)) {
    const shape = properties.get(name)
    const kept = keep(inner, shape)
    if (shape !== undefined) copy[name] = kept
    if (shape === undefined || kept !== inner) changed = true
  }
  return changed ? copy : value
}

class ShapeReader {
  private readonly root: JsonSchema
  /** By schema, so that a nest of references is read once. */
  private readonly known = new Map<object, Meaning>()

  constructor(root: JsonSchema) {
    this.root = root
  }

  shapeOf(schema: unknown): Meaning {
    const target = dereference(this.root, schema)
    if (target === undefined) return 'silent'
    const known = this.known.get(target)
    if (known !== undefined) return known
    // A schema that refers to itself is refused by contracts; here it would only end the names.
    this.known.set(target, 'any')
    const meaning = this.read(target)
    this.known.set(target, meaning)
    return meaning
  }

  private read(schema: JsonSchema): Meaning {
    const { properties, items, prefixItems, allOf, anyOf, oneOf, dependentSchemas } = schema
    if (isOpen(schema)) return 'any'
    const own: Shape = {
      ...(isObject(properties)
        ? { properties: new Map(Object.entries(properties).map(([name, inner]) => [name, this.shapeOf(inner)])) }
        : {}),
      ...(isObject(items) && prefixItems === undefined ? { items: this.shapeOf(items) } : {}),
    }
    let meaning: Meaning = isObject(properties) || own.items !== undefined ? own : 'silent'
    const conditions = [schema.if, schema.then, schema.else, ...Object.values(isObject(dependentSchemas) ? dependentSchemas : {})]
    for (const part of [...list(allOf), ...conditions]) meaning = together(meaning, this.shapeOf(part))
    for (const branches of [list(anyOf), list(oneOf)]) {
      const shapes = branches.filter((branch) => holdsFields(dereference(this.root, branch))).map((branch) => this.shapeOf(branch))
      // Beside named fields a branch that names none is a mere condition; otherwise it lets everything through.
      const open = meaning === 'silent' && shapes.includes('silent')
      meaning = shapes.reduce(together, open ? 'any' : meaning)
    }
    return meaning
  }
}

function isOpen(schema: JsonSchema): boolean {
  const more = [schema.additionalProperties, schema.unevaluatedProperties]
  return more.some((rest) => isObject(rest) || rest === true) || isObject(schema.patternProperties)
}

/** Whether a value of this schema can have fields or items: one of `{ type: 'null' }` cannot. */
function holdsFields(schema: JsonSchema | undefined): boolean {
  if (schema === undefined) return true
  if ('const' in schema || 'enum' in schema) return false
  const types = [schema.type].flat()
  return types.includes(undefined) || types.includes('object') || types.includes('array')
}

function together(one: Meaning, other: Meaning): Meaning {
  if (one === 'any' || other === 'any') return 'any'
  if (one === 'silent') return other
  if (other === 'silent') return one
  const items = one.items === undefined || other.items === undefined ? (one.items ?? other.items) : together(one.items, other.items)
  return {
    ...(one.properties === undefined && other.properties === undefined ? {} : { properties: allProperties(one, other) }),
    ...(items === undefined ? {} : { items }),
  }
}

function allProperties(one: Shape, other: Shape): ReadonlyMap<string, Meaning> {
  const all = new Map(one.properties)
  for (const [name, shape] of other.properties ?? []) {
    const known = all.get(name)
    all.set(name, known === undefined ? shape : together(known, shape))
  }
  return all
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
