import { acceptor } from '../validator.ts'
import type { Group, Part } from './conjunction.ts'

type Accept = (value: unknown) => boolean

/** Of values of another type these say nothing. */
const ONLY_OF: Readonly<Partial<Record<Group, 'number' | 'string' | 'object' | 'array'>>> = {
  minimum: 'number',
  exclusiveMinimum: 'number',
  maximum: 'number',
  exclusiveMaximum: 'number',
  multipleOf: 'number',
  minLength: 'string',
  maxLength: 'string',
  pattern: 'string',
  format: 'string',
  properties: 'object',
  required: 'object',
  dependentRequired: 'object',
  dependentSchemas: 'object',
  propertyNames: 'object',
  minProperties: 'object',
  maxProperties: 'object',
  items: 'array',
  minItems: 'array',
  maxItems: 'array',
  uniqueItems: 'array',
  contains: 'array',
}

/** Making a validator takes milliseconds, and the versions of a contract have most parts in common. */
const compiled = new Map<string, Accept>()
const MOST_COMPILED = 500

/** Whether a part takes a value, as the engine's validator sees it. */
export function accepts({ group, schema, text }: Part, value: unknown): boolean {
  const type = typeOf(value)
  const only = ONLY_OF[group]
  if (only !== undefined && only !== type) return true
  if (group === 'nothing') return false
  if (group === 'type') return [schema.type].flat().some((name) => name === type || (name === 'integer' && Number.isInteger(value)))
  if (value === null || typeof value !== 'object') {
    if (group === 'const') return schema.const === value
    if (group === 'enum') return (schema.enum as readonly unknown[]).includes(value)
  }
  let accept = compiled.get(text)
  if (accept === undefined) {
    accept = acceptor(schema)
    if (compiled.size >= MOST_COMPILED) compiled.clear()
    compiled.set(text, accept)
  }
  return accept(value)
}

function typeOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}
