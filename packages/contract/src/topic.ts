import type { ContractDescription } from './contract.ts'
import { UnknownAudience } from './errors.ts'

/**
 * The only way to name a contract's topic: its name, or one topic per audience where it declares audiences,
 * so that a field which is not granted never leaves its owner. `crm.customer`, `crm.customer.partners`.
 */
export function topicOf(contract: Pick<ContractDescription, 'name' | 'audiences'>, audience?: string): string {
  const audiences = Object.keys(contract.audiences)
  if (audience === undefined && audiences.length === 0) return contract.name
  if (audience !== undefined && Object.hasOwn(contract.audiences, audience)) return `${contract.name}.${audience}`
  throw new UnknownAudience({
    contract: contract.name,
    problem: audience === undefined ? 'has one topic per audience, and none was named' : `has no audience ${JSON.stringify(audience)}`,
    audiences: audiences.join(', ') || 'it declares none, leave the audience out',
  })
}

/**
 * The fields that travel on that topic, in the contract's order: all of them, or key, tenant and what its audience is granted.
 * Throws COMITY_UNKNOWN_AUDIENCE as {@link topicOf} does.
 */
export function fieldsOn(
  contract: Pick<ContractDescription, 'name' | 'audiences' | 'fields' | 'keyFields' | 'tenantField'>,
  audience?: string,
): readonly string[] {
  topicOf(contract, audience)
  if (audience === undefined) return contract.fields
  const granted = new Set([...(contract.audiences[audience] ?? []), ...contract.keyFields, contract.tenantField])
  return contract.fields.filter((field) => granted.has(field))
}

/** All topics of a contract. */
export function topicsOf(contract: Pick<ContractDescription, 'name' | 'audiences'>): readonly string[] {
  const audiences = Object.keys(contract.audiences)
  return audiences.length === 0 ? [topicOf(contract)] : audiences.map((audience) => topicOf(contract, audience))
}
