import { createHash } from 'node:crypto'
import { type ContractDescription, describe } from '@comity/contract'

/** Two teams that copied a contract have the same hash, in whatever order its properties were written. */
export function contractHash(contract: ContractDescription): string {
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
