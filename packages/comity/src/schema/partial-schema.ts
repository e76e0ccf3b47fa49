import { type ContractDescription, isObject, type JsonSchema } from '@comity/contract'

/**
 * The contract's schema as it holds for some of its fields: what a reader that is granted, or keeps, only these can demand of a
 * message. Conditions over the whole (`allOf`, `if`, …) may speak of fields that are not there, and are left out.
 */
export function partialSchema({ schema }: ContractDescription, fields: readonly string[]): JsonSchema {
  const properties = isObject(schema.properties) ? schema.properties : {}
  const required = Array.isArray(schema.required) ? (schema.required as readonly string[]) : []
  return Object.freeze({
    ...(schema.$schema === undefined ? {} : { $schema: schema.$schema }),
    ...(schema.$defs === undefined ? {} : { $defs: schema.$defs }),
    type: 'object',
    properties: Object.fromEntries(fields.filter((field) => Object.hasOwn(properties, field)).map((field) => [field, properties[field]])),
    required: required.filter((field) => fields.includes(field)),
  }) as JsonSchema
}
