import type { ContractDescription } from './contract.ts'

/** A contract as plain JSON, free of everything else: `JSON.parse(JSON.stringify(describe(c)))` equals it. */
export function describe(contract: ContractDescription): ContractDescription {
  return {
    contractKind: contract.contractKind,
    name: contract.name,
    owner: contract.owner,
    ...(contract.former === undefined ? {} : { former: contract.former }),
    keyFields: contract.keyFields,
    ...(contract.tenantField === undefined ? {} : { tenantField: contract.tenantField }),
    schema: contract.schema,
    fields: contract.fields,
    ordered: contract.ordered,
    audiences: contract.audiences,
    ...(contract.contact === undefined ? {} : { contact: contract.contact }),
    ...(contract.entity === undefined ? {} : { entity: contract.entity }),
    ...(contract.rejects === undefined ? {} : { rejects: contract.rejects }),
    ...(contract.deprecated === undefined ? {} : { deprecated: contract.deprecated }),
  }
}
