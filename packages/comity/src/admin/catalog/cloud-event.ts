import { type ContractDescription, fieldsOn, JSON_SCHEMA_DIALECT, type JsonSchema, sourceOf } from '@comity/contract'
import { partialSchema } from '../../schema/index.ts'
import type { CatalogContract } from './catalog.ts'

/** A contract whose owner has said what it is. */
export type DescribedContract = CatalogContract & { readonly description: ContractDescription; readonly hash: string }

export function describedOf(contracts: readonly CatalogContract[]): readonly DescribedContract[] {
  return contracts.filter((one): one is DescribedContract => one.description !== null && one.hash !== null)
}

/** What goes over one topic of a contract: all of it, or what one audience is granted. */
export function payloadSchema(contract: ContractDescription, audience: string | undefined): JsonSchema {
  return audience === undefined ? contract.schema : partialSchema(contract, fieldsOn(contract, audience))
}

/** What a message of this kind of contract says about its data. */
export function messageKinds(kind: string): readonly string[] {
  return kind === 'entity' ? ['created', 'updated', 'deleted'] : [kind]
}

const text = { type: 'string', minLength: 1 } as const

/** The attributes of CloudEvents 1.0 that every message of a contract has, with Comity's extensions. @param prefix `ce-` for headers */
export function cloudEventAttributes(
  contract: CatalogContract,
  kinds: readonly string[],
  prefix = '',
): Readonly<Record<string, JsonSchema>> {
  const attributes: Readonly<Record<string, JsonSchema>> = {
    specversion: { const: '1.0' },
    id: { ...text, description: 'The same on every resend.' },
    source: { const: sourceOf(contract.owner) },
    type: { const: contract.name },
    subject: { ...text, description: 'The key.' },
    partitionkey: { ...text, description: 'The key.' },
    time: { type: 'string', format: 'date-time' },
    comityversion: { type: 'string', pattern: '^[1-9][0-9]*$', description: "The owner's number of this state or event; only grows." },
    comitykind: { enum: [...kinds] },
    ...(contract.description?.tenantField === undefined ? {} : { comitytenant: { ...text, description: 'Whose data it is.' } }),
  }
  return Object.fromEntries(Object.entries(attributes).map(([name, schema]) => [`${prefix}${name}`, schema]))
}

/**
 * A JSON Schema (draft 2020-12) of each contract as a CloudEvent in structured form, by the contract's name. The data's schema is a resource of its
 * own inside, so that its references stay as they are.
 */
export function jsonSchemas(contracts: readonly CatalogContract[]): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    describedOf(contracts).map((contract) => {
      const { name, hash, description } = contract
      const kinds = messageKinds(description.contractKind)
      const data = { $ref: `urn:comity:data:${name}:${hash}` }
      const attributes = cloudEventAttributes(contract, kinds)
      const deletable = kinds.includes('deleted')
      return [
        name,
        {
          ...{ $schema: JSON_SCHEMA_DIALECT, $id: `urn:comity:event:${name}:${hash}`, title: name, type: 'object' },
          properties: { ...attributes, datacontenttype: { const: 'application/json' }, traceparent: text, data },
          required: [...Object.keys(attributes), ...(deletable ? [] : ['data'])],
          // A deletion says nothing but that it is one.
          ...(deletable
            ? {
                oneOf: [
                  { properties: { comitykind: { enum: kinds.filter((kind) => kind !== 'deleted') } }, required: ['data'] },
                  { properties: { comitykind: { const: 'deleted' }, data: false } },
                ],
              }
            : {}),
          $defs: { data: { ...description.schema, $id: data.$ref } },
        } as JsonSchema,
      ]
    }),
  )
}
