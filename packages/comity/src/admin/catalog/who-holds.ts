import { FieldNotDeclared } from '../errors.ts'
import type { Catalog } from './catalog.ts'

/** One place where a field is, or goes to. */
export interface FieldHolder {
  readonly contract: string
  readonly field: string
  readonly team: string
  /** `owns`: it is the owner's; `keeps`: in a copy; `selects`: decides which rows a copy holds; `given`: a handler gets it and may keep it anywhere. */
  readonly how: 'owns' | 'keeps' | 'selects' | 'given'
  readonly subscription: string | null
  /** `schema.table` of that team's database. */
  readonly table: string | null
  readonly column: string | null
  readonly contact: string | null
  /** Since when it is declared so, as far as this database has heard. */
  readonly since: string | null
  /** When that team was last heard. */
  readonly seenAt: string | null
}

/**
 * Who holds a field. @param name `crm.customer.email`; `crm.customer` for all of its fields, `email` for that field of every contract
 * Throws COMITY_FIELD_NOT_DECLARED for what is none of these.
 */
export function whoHolds(catalog: Catalog, name: string): readonly FieldHolder[] {
  const asked = catalog.contracts.flatMap((contract) => {
    const named = new Set([
      ...contract.fields.map((one) => one.name),
      ...contract.uses.flatMap(({ holds }) => holds.map(({ field }) => field)),
    ])
    const fields = [...named].filter((field) => name === contract.name || name === field || name === `${contract.name}.${field}`)
    return fields.map((field) => ({ contract, field }))
  })
  if (asked.length === 0)
    throw new FieldNotDeclared({ field: name, contracts: catalog.contracts.map((one) => one.name).join(', ') || 'none' }, { path: name })
  const teams = new Map(catalog.teams.map((team) => [team.team, team]))
  return asked.flatMap(({ contract, field }): readonly FieldHolder[] => {
    const holder = (team: string, rest: Partial<FieldHolder> & Pick<FieldHolder, 'how'>): FieldHolder => ({
      ...{ contract: contract.name, field, team, subscription: null, table: null, column: null, since: null },
      ...{ contact: teams.get(team)?.contact ?? null, seenAt: teams.get(team)?.seenAt ?? null },
      ...rest,
    })
    return [
      holder(contract.owner, { how: 'owns', contact: contract.contact ?? teams.get(contract.owner)?.contact ?? null }),
      ...contract.uses.flatMap(({ team, how, subscription, table, holds, where }): readonly FieldHolder[] => {
        const held = holds.find((one) => one.field === field)
        if (held !== undefined) return [holder(team, { how: 'keeps', subscription, table, column: held.column, since: held.since })]
        if (where.includes(field)) return [holder(team, { how: 'selects', subscription, table })]
        const given = contract.fields.find((one) => one.name === field)?.givenTo ?? []
        return how !== 'keeps' && given.includes(subscription ?? team) ? [holder(team, { how: 'given', subscription })] : []
      }),
    ]
  })
}
