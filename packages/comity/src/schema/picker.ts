import type { ContractDescription } from '@comity/contract'
import { UnknownField } from '@comity/contract'

type State = Readonly<Record<string, unknown>>

/**
 * What a replica keeps of a state: the key's fields, the tenant's, and the declared ones, in this order. A field that the state
 * lacks stays missing; a field that the contract lacks is refused at once.
 */
export function picker(contract: ContractDescription, fields: readonly string[]): (state: State) => Record<string, unknown> {
  const picked = pickedFields(contract, fields)
  return (state) => {
    const row: Record<string, unknown> = {}
    for (const field of picked) if (Object.hasOwn(state, field)) row[field] = state[field]
    return row
  }
}

/** What {@link picker} keeps. */
export function pickedFields(contract: ContractDescription, fields: readonly string[]): readonly string[] {
  for (const field of fields) {
    if (contract.fields.includes(field)) continue
    throw new UnknownField(
      { contract: contract.name, field: JSON.stringify(field), fields: contract.fields.join(', ') },
      { path: `fields: ${field}` },
    )
  }
  const tenant = contract.tenantField === undefined ? [] : [contract.tenantField]
  return [...new Set([...contract.keyFields, ...tenant, ...fields])]
}
