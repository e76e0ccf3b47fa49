import type { ContractDescription } from '@comity/contract'
import { type Consumer, deprecatedRead } from '../../catalog/contract-check.ts'
import { type Declaration, fieldsNeeded } from '../../catalog/declaration.ts'
import { arrayLiteral } from '../../postgres/array-literal.ts'
import type { Queryable } from '../../postgres/database.ts'

/** Something that this team reads, and that its owner has deprecated. */
export interface DeprecatedUse {
  readonly contract: string
  /** Empty = the whole. */
  readonly field: string
  /** A day (`2027-01-31`): from then on it may no longer be sent. */
  readonly from: string
  readonly owner: string
  /** Whom to ask about the contract, or else about its owner. */
  readonly contact: string | null
  /** The subscriptions of this team that read it, or may. */
  readonly readBy: readonly string[]
}

/* Only what the owner itself has said of its contract. */
const SAID = `
  select w.name, c.description::text as description, t.declaration ->> 'contact' as contact
  from unnest($1::text::text[], $2::text::text[]) w(name, owner)
    left join comity.catalog_contracts c on c.name = w.name and c.team = w.owner
    left join comity.catalog t on t.team = w.owner`

interface SaidRow {
  readonly name: string
  readonly description: string | null
  readonly contact: string | null
}

/**
 * What this team keeps or handles of other teams although it is deprecated, as the owners say it on the map of all teams; of an owner that was not
 * heard, as this team's own version of the contract has it. What ends first comes first.
 */
export async function deprecatedUses(
  declaration: Declaration,
  { database }: { readonly database: Queryable },
): Promise<readonly DeprecatedUse[]> {
  const readers = readersIn(declaration)
  if (readers.length === 0) return []
  const contracts = [...new Map(readers.map(({ contract }) => [contract.name, contract])).values()]
  const { rows } = await database.query<SaidRow>(SAID, [
    arrayLiteral(contracts.map(({ name }) => name)),
    arrayLiteral(contracts.map(({ owner }) => owner)),
  ])
  const uses = contracts.flatMap((contract) => {
    const { description = null, contact = null } = rows.find(({ name }) => name === contract.name) ?? {}
    const said = description === null ? contract : (JSON.parse(description) as ContractDescription)
    const own = readers.filter((one) => one.contract.name === contract.name)
    return deprecationsOf(said).flatMap(({ field, from }): readonly DeprecatedUse[] => {
      const readBy = own
        .filter((one) => field === '' || deprecatedRead(one, one.contract, said).includes(field))
        .map(({ subscription }) => subscription)
      if (readBy.length === 0) return []
      return [{ contract: contract.name, field, from, owner: contract.owner, contact: said.contact ?? contact, readBy }]
    })
  })
  const place = ({ from, contract, field }: DeprecatedUse): string => [from, contract, field].join(' ')
  return uses.sort((a, b) => (place(a) < place(b) ? -1 : 1))
}

/** What a contract says of itself that it ends; an empty field = the whole. */
export function deprecationsOf({
  deprecated,
}: Pick<ContractDescription, 'deprecated'>): readonly { readonly field: string; readonly from: string }[] {
  if (deprecated === undefined) return []
  const fields = Object.entries(deprecated.fields).map(([field, from]) => ({ field, from }))
  return deprecated.from === undefined ? fields : [{ field: '', from: deprecated.from }, ...fields]
}

type Reader = Pick<Consumer, 'subscription' | 'fields' | 'audience'> & { readonly contract: ContractDescription }

/** What this team reads of others. */
function readersIn({ team, keeps, handles }: Declaration): readonly Reader[] {
  const readers = [
    ...keeps.map((kept) => ({ subscription: kept.name, contract: kept.entity, audience: kept.audience, fields: fieldsNeeded(kept) })),
    ...handles.map(({ name, contract, audience, fields }) => ({ subscription: name, contract, audience, fields })),
  ]
  return readers
    .filter(({ contract }) => contract.owner !== team)
    .map(({ audience, fields, ...one }) => ({
      ...one,
      ...(audience === undefined ? {} : { audience }),
      ...(fields === undefined ? {} : { fields }),
    }))
}
