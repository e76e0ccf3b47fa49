import type { CanonicalKind } from '../replica/canonical-kind.ts'

/** One field of an audit. */
export interface AuditedField {
  readonly name: string
  readonly kind: CanonicalKind
}

/** The order of fields in a canonical row: by name, as bytes of UTF-8. */
export function inNameOrder<Named extends { readonly name: string }>(fields: readonly Named[]): readonly Named[] {
  return [...fields].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
}
