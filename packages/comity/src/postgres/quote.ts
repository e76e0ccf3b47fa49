import { BadIdentifier, BadLiteral } from './errors.ts'

/** Postgres's NAMEDATALEN − 1, in bytes of UTF-8; what is longer is cut off silently. */
const identifierBytes = 63

/** `name` → `"name"`. Throws COMITY_BAD_IDENTIFIER for what Postgres would cut off or refuse. */
export function quoteIdentifier(name: string): string {
  if (name === '') throw new BadIdentifier({ name: '""', reason: 'is empty' })
  if (name.includes('\0')) throw new BadIdentifier({ name: JSON.stringify(name), reason: 'holds a NUL character' })
  const bytes = Buffer.byteLength(name)
  if (bytes > identifierBytes) {
    throw new BadIdentifier({ name: JSON.stringify(name), reason: `has ${bytes} bytes` }, { limit: `${identifierBytes} bytes` })
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** `('crm', 'customers')` → `"crm"."customers"`. */
export function qualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`
}

/** `it's` → `'it''s'`; right whatever `standard_conforming_strings` says. For DDL only: elsewhere use parameters. */
export function quoteLiteral(text: string): string {
  if (text.includes('\0')) throw new BadLiteral({ reason: 'holds a NUL character' })
  const doubled = text.replaceAll("'", "''")
  return text.includes('\\') ? ` E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`
}
