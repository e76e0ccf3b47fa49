import { createHash } from 'node:crypto'
import { type ContractDescription, describe } from '@comity/contract'
import { contractsPublishedBy, type Declaration, type Kept } from '../catalog/declaration.ts'
import type { DeclaredContract, DeclaredSubscription } from '../control/contracts.ts'
import type { ControlOptions } from '../control/control.ts'
import { replicaShape } from './replica-shape.ts'

/** What a team declares, as plain JSON for other teams: names, fields, and hashes instead of schemas. */
export function declarationReport(declaration: Declaration): ControlOptions['declared'] {
  const { team, owns, publishes, keeps, handles, asks, answers, operates, operators, version, contact } = declaration
  const contract = (one: ContractDescription): DeclaredContract => ({ name: one.name, kind: one.contractKind, hash: hashOf(one) })
  const subscription = (name: string, one: ContractDescription, audience: string | undefined): DeclaredSubscription => ({
    ...{ name, contract: one.name, hash: hashOf(one) },
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
    asks: asks.map((one) => ({ contract: one.name, hash: hashOf(one) })),
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
    hash: hashOf(one),
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

/** Two teams that copied a contract have the same hash, in whatever order its properties were written. */
export function hashOf(contract: ContractDescription): string {
  return createHash('sha256')
    .update(JSON.stringify(inOrder(describe(contract))))
    .digest('hex')
    .slice(0, 16)
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, inOrder(inner)]),
  )
}
