import { type ContractDescription, describe } from '@comity/contract'
import { contractHash } from '../catalog/contract-hash.ts'
import { contractsPublishedBy, type Declaration, type Kept } from '../catalog/declaration.ts'
import type { DeclaredContract, DeclaredSubscription } from '../control/contracts.ts'
import type { ControlOptions } from '../control/control.ts'
import { replicaShape } from './replica-shape.ts'

/** What a team declares, as plain JSON for other teams: names, fields, and hashes instead of schemas. */
export function declarationReport(declaration: Declaration): ControlOptions['declared'] {
  const { team, owns, publishes, keeps, handles, asks, answers, operates, operators, version, contact } = declaration
  const contract = (one: ContractDescription): DeclaredContract => ({ name: one.name, kind: one.contractKind, hash: contractHash(one) })
  const subscription = (name: string, one: ContractDescription, audience: string | undefined): DeclaredSubscription => ({
    ...{ name, contract: one.name, hash: contractHash(one) },
    ...(audience === undefined ? {} : { audience }),
  })
  return {
    team,
    owns: owns.map(({ entity }) => contract(entity)),
    publishes: publishes.map(contract),
    keeps: keeps.map((kept) => ({ ...subscription(kept.name, kept.entity, kept.audience), ...placeOf(kept) })),
    handles: handles.map(({ name, contract: one, audience, fields }) => ({
      ...subscription(name, one, audience),
      ...(fields === undefined ? {} : { fields }),
    })),
    asks: asks.map((one) => ({ contract: one.name, hash: contractHash(one) })),
    answers: answers.map(({ contract: one }) => contract(one)),
    operates,
    operators,
    ...(version === undefined ? {} : { version }),
    ...(contact === undefined ? {} : { contact }),
  }
}

/** The contracts that are this team's own, whole: what it says to every team. */
export function ownContracts(declaration: Declaration): ControlOptions['contracts'] {
  const answered = declaration.answers.map(({ contract }) => contract)
  return [...contractsPublishedBy(declaration), ...answered].map((one) => ({
    name: one.name,
    hash: contractHash(one),
    description: describe(one),
  }))
}

/** Where a copy holds what. */
function placeOf(kept: Kept): Pick<DeclaredSubscription, 'fields' | 'table' | 'columns' | 'where'> {
  const { schema, table, columns } = replicaShape(kept)
  return {
    fields: kept.fields,
    table: `${schema}.${table}`,
    columns: Object.fromEntries(columns.map(({ field, column }) => [field, column])),
    ...(kept.subset === undefined ? {} : { where: [...new Set(kept.subset.map(({ field }) => field))] }),
  }
}
