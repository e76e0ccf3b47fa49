import type { JsonSchema } from './json-schema.ts'

/**
 * The parts of Standard Schema V1 and Standard JSON Schema V1 that a contract needs, copied by structure so
 * that this package depends on nothing. Source: https://standardschema.dev, package `@standard-schema/spec` 1.1.
 */
export interface StandardJsonSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly jsonSchema: {
      readonly input: (options: StandardJsonSchemaOptions) => Record<string, unknown>
      readonly output: (options: StandardJsonSchemaOptions) => Record<string, unknown>
    }
  }
}
export interface StandardJsonSchemaOptions {
  readonly target: 'draft-2020-12' | 'draft-07' | 'openapi-3.0' | ({} & string)
  readonly libraryOptions?: Record<string, unknown> | undefined
}

/** What `entity` and `event` take as a schema: a Standard JSON Schema of any library, or plain JSON Schema. */
export type SchemaSource = StandardJsonSchema | JsonSchema

/** The vendor of schemas made by {@link jsonSchema}. */
export const OWN_VENDOR = 'comity'

/**
 * Gives a plain JSON Schema (draft 2020-12) its TypeScript type.
 *
 * @example
 * state: jsonSchema<{ id: string; email: string }>({
 *   type: 'object', properties: { id: { type: 'string' }, email: { type: 'string' } }, required: ['id', 'email'],
 * })
 */
export function jsonSchema<T>(schema: JsonSchema): StandardJsonSchema<T> {
  return { '~standard': { version: 1, vendor: OWN_VENDOR, jsonSchema: { input: () => ({ ...schema }), output: () => ({ ...schema }) } } }
}
