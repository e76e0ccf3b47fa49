import { type ContractDescription, fieldsOn, isObject } from '@comity/contract'
import type { DeclarationReport, DeclaredSubscription } from '../../control/contracts.ts'
import type { Catalog, CatalogContract, CatalogField, CatalogTeam, CatalogUse, DifferingField, KnownTeam } from './catalog.ts'
import { fieldType } from './field-type.ts'

type Declared = Omit<DeclarationReport, 'v' | 'library'>

/** Silent for longer than this many seconds, a team is not there: it says every minute that it is. */
const SILENT_AFTER = 180

/** Puts together what was heard of each team. What a contract is, its owner says; what is done with it, everybody for himself. */
export function assembleCatalog(seenBy: string, known: readonly KnownTeam[]): Catalog {
  const contracts = contractsOf(known)
  const names = new Set([...known.map(({ team }) => team), ...contracts.map(({ owner }) => owner)])
  const teams = [...names].sort().map((name) =>
    teamOf(
      name,
      known.find(({ team }) => team === name),
    ),
  )
  return { seenBy, teams, contracts, differing: differingOf(contracts) }
}

function teamOf(team: string, known: KnownTeam | undefined): CatalogTeam {
  const declared: Partial<Declared> = known?.declaration ?? {}
  const age = known?.age ?? null
  const names = (list: readonly { readonly name: string }[] = []): readonly string[] => list.map(({ name }) => name)
  const used = (list: readonly { readonly contract: string }[] = []): readonly string[] => list.map(({ contract }) => contract)
  return {
    team,
    version: declared.version ?? null,
    contact: declared.contact ?? null,
    library: known?.library ?? null,
    seenAt: known?.seenAt ?? null,
    age,
    presence: known === undefined ? 'unheard' : age !== null && age <= SILENT_AFTER ? 'here' : 'silent',
    state: known?.state ?? null,
    owns: names(declared.owns),
    publishes: names(declared.publishes),
    keeps: used(declared.keeps),
    handles: used(declared.handles),
    asks: used(declared.asks),
    answers: names(declared.answers),
  }
}

function contractsOf(known: readonly KnownTeam[]): readonly CatalogContract[] {
  const uses = new Map<string, CatalogUse[]>()
  const own = new Map<
    string,
    { readonly owner: string; readonly kind: string; readonly hash: string; readonly description: ContractDescription | null }
  >()
  for (const { team, declaration, contracts } of known) {
    for (const { name, kind, hash } of ownOf(declaration ?? {})) {
      const description = contracts.find((one) => one.name === name)?.description ?? null
      // It has handed it over, and still declares it.
      if (own.get(name)?.description?.former?.includes(team)) continue
      own.set(name, { owner: team, kind, hash, description })
    }
  }
  for (const one of known)
    for (const [contract, use] of usesOf(one, (name) => own.get(name)?.hash)) uses.set(contract, [...(uses.get(contract) ?? []), use])
  return [...new Set([...own.keys(), ...uses.keys()])].sort().map((name): CatalogContract => {
    const said = own.get(name)
    const order = said?.description?.fields ?? []
    const used = (uses.get(name) ?? []).map((use) => ({ ...use, holds: inOrder(use.holds, order) }))
    return {
      name,
      kind: said?.kind ?? null,
      owner: said?.owner ?? said?.description?.owner ?? (name.split('.', 1)[0] as string),
      contact: said?.description?.contact ?? null,
      hash: said?.hash ?? null,
      fields: said?.description == null ? [] : fieldsOf(said.description, used),
      uses: used,
      description: said?.description ?? null,
    }
  })
}

/** As the contract has its fields: what a database keeps as an object has lost its order. */
function inOrder(holds: CatalogUse['holds'], order: readonly string[]): CatalogUse['holds'] {
  const place = (field: string): number => (order.includes(field) ? order.indexOf(field) : order.length)
  return [...holds].sort((a, b) => place(a.field) - place(b.field) || (a.field < b.field ? -1 : 1))
}

/** Every kind of contract that a team has the say about. */
function ownOf({
  owns = [],
  publishes = [],
  answers = [],
}: Partial<Declared>): readonly { readonly name: string; readonly kind: string; readonly hash: string }[] {
  return [...owns, ...publishes, ...answers]
}

function usesOf(
  known: KnownTeam,
  hashOf: (contract: string) => string | undefined,
): readonly (readonly [contract: string, use: CatalogUse])[] {
  const { team, fields } = known
  const { keeps = [], handles = [], asks = [] }: Partial<Declared> = known.declaration ?? {}
  const use = (
    how: CatalogUse['how'],
    one: Partial<DeclaredSubscription> & { readonly contract: string; readonly hash: string },
  ): CatalogUse => {
    const own = hashOf(one.contract)
    return {
      ...{ team, how, subscription: one.name ?? null, audience: one.audience ?? null, table: one.table ?? null, where: one.where ?? [] },
      holds:
        how !== 'keeps'
          ? []
          : heldBy(
              one,
              fields.filter(({ subscription }) => subscription === one.name),
            ),
      current: own === undefined ? null : own === one.hash,
    }
  }
  return [
    ...keeps.map((one) => [one.contract, use('keeps', one)] as const),
    ...handles.map((one) => [one.contract, use('handles', one)] as const),
    ...asks.map((one) => [one.contract, use('asks', one)] as const),
  ]
}

/** As it was declared; since when, this database knows of what it has heard itself. */
function heldBy({ fields = [], columns = {} }: Partial<DeclaredSubscription>, heard: KnownTeam['fields']): CatalogUse['holds'] {
  return [...new Set([...Object.keys(columns), ...fields])].map((field) => ({
    field,
    column: columns[field] ?? null,
    since: heard.find((one) => one.field === field)?.since ?? null,
  }))
}

function fieldsOf(contract: ContractDescription, uses: readonly CatalogUse[]): readonly CatalogField[] {
  const properties = isObject(contract.schema.properties) ? contract.schema.properties : {}
  const given = ({ audience }: CatalogUse): readonly string[] => {
    if (audience !== null && !Object.hasOwn(contract.audiences, audience)) return []
    return audience === null && Object.keys(contract.audiences).length > 0 ? contract.fields : fieldsOn(contract, audience ?? undefined)
  }
  return contract.fields.map((name): CatalogField => {
    const role = contract.keyFields.includes(name) ? 'key' : contract.tenantField === name ? 'tenant' : 'data'
    const keptBy = uses.filter(
      ({ how, holds, where }) => how === 'keeps' && (where.includes(name) || holds.some(({ field }) => field === name)),
    )
    const givenTo = uses.filter((use) => use.how !== 'keeps' && given(use).includes(name))
    return {
      ...{ name, role, type: fieldType(properties[name], contract.schema) },
      keptBy: keptBy.map(nameOf),
      givenTo: givenTo.map(nameOf),
      unused: role === 'data' && keptBy.length + givenTo.length === 0,
    }
  })
}

function nameOf({ subscription, team }: CatalogUse): string {
  return subscription ?? team
}

/** Names that a reader takes for the same thing: that one contract lets a value be missing is no other type. */
function differingOf(contracts: readonly CatalogContract[]): readonly DifferingField[] {
  const byName = new Map<string, Map<string, string[]>>()
  for (const { name: contract, fields } of contracts) {
    for (const { name, type } of fields) {
      const types = byName.get(name) ?? new Map<string, string[]>()
      byName.set(name, types)
      const bare = type.replace(/ \| null$/, '')
      types.set(bare, [...(types.get(bare) ?? []), contract])
    }
  }
  return [...byName]
    .filter(([, types]) => types.size > 1)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([field, types]) => ({ field, types: [...types].map(([type, of]) => ({ type, contracts: of })) }))
}
