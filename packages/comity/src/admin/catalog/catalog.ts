import type { ContractDescription } from '@comity/contract'
import type { DeclarationReport } from '../../control/contracts.ts'

/** The map of all teams, as one team's database has it. Names of fields only, never values; times are ISO 8601. */
export interface Catalog {
  /** The team whose database was read. */
  readonly seenBy: string
  readonly teams: readonly CatalogTeam[]
  readonly contracts: readonly CatalogContract[]
  /** Fields of one name that have different types in different contracts. */
  readonly differing: readonly DifferingField[]
}

export interface CatalogTeam {
  readonly team: string
  /** Of its own software, as it calls it. */
  readonly version: string | null
  readonly contact: string | null
  /** Of Comity. */
  readonly library: string | null
  /** When it was last heard; of the team whose database was read, when a process of it reported last. */
  readonly seenAt: string | null
  /** Seconds since then. */
  readonly age: number | null
  /** `here`: heard within three minutes; `silent`: not; `unheard`: another team names it, and nothing was heard of it. */
  readonly presence: 'here' | 'silent' | 'unheard'
  /** The worst of what its relay and subscriptions did then. */
  readonly state: string | null
  /** What it declares, by names of contracts. */
  readonly owns: readonly string[]
  readonly publishes: readonly string[]
  readonly keeps: readonly string[]
  readonly handles: readonly string[]
  readonly asks: readonly string[]
  readonly answers: readonly string[]
}

/** One contract, whatever its kind. */
export interface CatalogContract {
  readonly name: string
  /** `entity`, `event`, …; null where only readers of it were heard. */
  readonly kind: string | null
  readonly owner: string
  readonly contact: string | null
  /** Of the description: another hash at a reader means that it has another version of the contract. */
  readonly hash: string | null
  readonly fields: readonly CatalogField[]
  readonly uses: readonly CatalogUse[]
  /** Null until its owner has said it. */
  readonly description: ContractDescription | null
}

export interface CatalogField {
  readonly name: string
  /** As short as it can be said, e.g. `string (email) | null`. */
  readonly type: string
  readonly role: 'key' | 'tenant' | 'data'
  /** The copies that hold it. */
  readonly keptBy: readonly string[]
  /** Handlers, and what else is given the whole of it: nobody can tell whether they look at this field. */
  readonly givenTo: readonly string[]
  /** Nobody holds it or is given it. */
  readonly unused: boolean
}

/** What another team, or the owner itself, does with a contract. */
export interface CatalogUse {
  readonly team: string
  readonly how: 'keeps' | 'handles' | 'asks'
  /** The subscription; of what is asked, null. */
  readonly subscription: string | null
  readonly audience: string | null
  /** Where a copy is: `schema.table` of that team's database. */
  readonly table: string | null
  /** Of a copy: every field that it holds, and since when it is declared so. */
  readonly holds: readonly HeldField[]
  /** Of a copy: fields that decide which rows it holds. */
  readonly where: readonly string[]
  /** It has the contract as its owner declares it; null where that is not known. */
  readonly current: boolean | null
}
export interface HeldField {
  readonly field: string
  readonly column: string | null
  readonly since: string | null
}

export interface DifferingField {
  readonly field: string
  readonly types: readonly { readonly type: string; readonly contracts: readonly string[] }[]
}

/** What is known of one team, before it is put together. */
export interface KnownTeam {
  readonly team: string
  readonly declaration: DeclarationReport | Omit<DeclarationReport, 'v' | 'library'> | null
  readonly library: string | null
  readonly state: string | null
  readonly seenAt: string | null
  readonly age: number | null
  readonly contracts: readonly { readonly name: string; readonly hash: string; readonly description: ContractDescription }[]
  readonly fields: readonly (HeldField & { readonly subscription: string })[]
}
