import { createHash } from 'node:crypto'
import { type ContractDescription, describe } from '@comity/contract'
import type { Declaration } from '../catalog/declaration.ts'
import type { DeclaredContract, DeclaredSubscription } from '../control/contracts.ts'
import type { ControlOptions } from '../control/control.ts'

/** What a team declares, as plain JSON for other teams: names, fields, and hashes instead of schemas. */
export function declarationReport(declaration: Declaration): ControlOptions['declared'] {
  const { team, owns, publishes, keeps, handles, operates, operators } = declaration
  const contract = (one: ContractDescription): DeclaredContract => ({ name: one.name, kind: one.contractKind, hash: hashOf(one) })
  const subscription = (name: string, one: ContractDescription, audience: string | undefined): DeclaredSubscription => ({
    ...{ name, contract: one.name, hash: hashOf(one) },
    ...(audience === undefined ? {} : { audience }),
  })
  return {
    team,
    owns: owns.map(({ entity }) => contract(entity)),
    publishes: publishes.map(contract),
    keeps: keeps.map(({ name, entity, fields, audience }) => ({ ...subscription(name, entity, audience), fields })),
    handles: handles.map(({ name, contract: one, audience, fields }) => ({
      ...subscription(name, one, audience),
      ...(fields === undefined ? {} : { fields }),
    })),
    operates,
    operators,
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
