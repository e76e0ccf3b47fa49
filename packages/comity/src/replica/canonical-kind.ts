import type { ReplicaColumn } from './replica-columns.ts'

/**
 * What a field is on the wire, as far as its canonical text depends on it (docs/canonical-form.md). The consumer names it, because it knows what
 * its column has kept of the wire's text: of a moment the point in time, not how it was spelled.
 */
export const CANONICAL_KINDS = ['text', 'boolean', 'integer', 'number', 'uuid', 'date', 'date-time', 'timestamp', 'json'] as const
export type CanonicalKind = (typeof CANONICAL_KINDS)[number]

const BY_TYPE: Readonly<Record<string, CanonicalKind>> = {
  boolean: 'boolean',
  bigint: 'integer',
  'double precision': 'number',
  uuid: 'uuid',
  date: 'date',
  timestamptz: 'date-time',
  timestamp: 'timestamp',
  jsonb: 'json',
}

/** By the type of the replica's column. */
export function kindOf({ type }: Pick<ReplicaColumn, 'type'>): CanonicalKind {
  return BY_TYPE[type] ?? 'text'
}
