import { wireFromColumn } from '../outbox/capture/index.ts'
import type { CanonicalKind } from './canonical-kind.ts'

/** SQL of the canonical text of a replica's column. */
export function canonicalOfReplica(kind: CanonicalKind, type: string, column: string): string {
  if (kind === 'number') return doubleBits(column)
  return kind === 'json' ? `comity.canonical_json(${column})` : wireFromColumn(type, column)
}

/** SQL of the canonical text of a column of a contract view. @param type as `format_type` names it */
export function canonicalOfView(kind: CanonicalKind, type: string, column: string): string {
  if (kind === 'json') return `comity.canonical_json(${type === 'json' ? `comity.json_text(${column})::jsonb` : `to_jsonb(${column})`})`
  if (kind === 'number' && /^(double precision|real|smallint|integer|bigint)$/.test(type)) return doubleBits(`${column}::double precision`)
  return kind === 'integer' && /^(smallint|integer|bigint)$/.test(type) ? `${column}::text` : canonicalOfText(kind, `${column}::text`)
}

/** SQL of the canonical text of a member of a JSON state: its text, or of kind json, its jsonb. */
export function canonicalOfMember(kind: CanonicalKind, member: string): string {
  return kind === 'json' ? `comity.canonical_json(${member})` : canonicalOfText(kind, member)
}

function canonicalOfText(kind: CanonicalKind, wire: string): string {
  switch (kind) {
    case 'integer':
      return `comity.canonical_integer(${wire})`
    case 'number':
      return `comity.canonical_number(${wire})`
    case 'date-time':
      return `comity.canonical_date_time(${wire})`
    case 'timestamp':
      return `comity.canonical_timestamp(${wire})`
    case 'uuid':
      return `lower(${wire} collate "C")`
    default:
      return wire
  }
}

/** + 0: there is no negative zero on the wire. */
function doubleBits(value: string): string {
  return `encode(float8send(${value} + 0), 'hex')`
}
