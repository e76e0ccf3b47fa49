import { isObject } from './json-schema.ts'

export interface SchemaDifference {
  readonly path: string
  readonly problem: string
}

/**
 * The first place where the JSON Schemas of input and output differ, or undefined. Not a difference: the order of keywords and of
 * names in `required`, and `additionalProperties: false`, which zod adds to every output.
 */
export function differenceOf(input: unknown, output: unknown, path: string): SchemaDifference | undefined {
  if (isObject(input) && isObject(output)) return differenceOfObjects(input, output, path)
  if (Array.isArray(input) && Array.isArray(output) && input.length === output.length) {
    for (const [index, item] of input.entries()) {
      const difference = differenceOf(item, output[index], path)
      if (difference !== undefined) return difference
    }
    return undefined
  }
  return Object.is(input, output) ? undefined : { path, problem: `input is ${shown(input)}, output is ${shown(output)}` }
}

function differenceOfObjects(
  input: Readonly<Record<string, unknown>>,
  output: Readonly<Record<string, unknown>>,
  path: string,
): SchemaDifference | undefined {
  const missing = symmetricDifference(input.required, output.required)
  if (missing !== undefined)
    return { path: `${path}.${missing}`, problem: 'one of input and output may lack it, the other may not (a default)' }
  for (const keyword of new Set([...Object.keys(input), ...Object.keys(output)])) {
    if (keyword === 'required') continue
    if (keyword === 'additionalProperties' && output[keyword] === false && input[keyword] === undefined) continue
    if (keyword === 'properties' && isObject(input[keyword]) && isObject(output[keyword])) {
      const names = symmetricDifference(Object.keys(input[keyword]), Object.keys(output[keyword]))
      if (names !== undefined) return { path: `${path}.${names}`, problem: 'only one of input and output has it' }
      for (const [name, schema] of Object.entries(input[keyword])) {
        const difference = differenceOf(schema, output[keyword][name], `${path}.${name}`)
        if (difference !== undefined) return difference
      }
      continue
    }
    const difference = differenceOf(input[keyword], output[keyword], keyword === 'items' || keyword === 'prefixItems' ? `${path}[]` : path)
    if (difference !== undefined) return difference
  }
  return undefined
}

function symmetricDifference(one: unknown, other: unknown): string | undefined {
  const [left, right] = [namesOf(one), namesOf(other)]
  return left.find((name) => !right.includes(name)) ?? right.find((name) => !left.includes(name))
}

function namesOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : []
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
