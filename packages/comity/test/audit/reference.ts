import { createHash } from 'node:crypto'
import { type AuditedField, inNameOrder } from '../../src/audit/audited-field.ts'
import type { CanonicalKind } from '../../src/replica/canonical-kind.ts'

/** docs/canonical-form.md in JavaScript, from the wire's JSON: what the SQL of both sides must agree with. */
export function canonicalText(kind: CanonicalKind, value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (kind === 'json') return canonicalJson(value)
  if (kind === 'number') return doubleBits(value as number)
  const text = typeof value === 'string' ? value : String(value)
  if (kind === 'integer') return BigInt(text).toString()
  if (kind === 'uuid') return text.toLowerCase()
  return kind === 'date-time' ? dateTime(text) : text
}

function doubleBits(value: number): string {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value === 0 ? 0 : value)
  return bytes.toString('hex')
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(', ')}]`
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value === 0 ? 0 : value) : `#${doubleBits(value)}`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([name, inner]) => ({
    name: Buffer.from(name),
    text: `${JSON.stringify(name)}: ${canonicalJson(inner)}`,
  }))
  members.sort((a, b) => a.name.length - b.name.length || Buffer.compare(a.name, b.name))
  return `{${members.map(({ text }) => text).join(', ')}}`
}

/** RFC 3339, to the microsecond (half to even), in UTC; a year that its four digits can't hold is not reached by a contract's examples. */
function dateTime(text: string): string {
  const parts = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.exec(text)
  if (parts === null) return text
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [number, number, number, number, number, number]
  const zone = parts[8] as string
  const shift = zone.length === 1 ? 0 : (zone[0] === '-' ? 1 : -1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4)))
  const scaled = Number(`0${parts[7] ?? ''}`) * 1e6
  const micros = scaled % 1 === 0.5 ? 2 * Math.round(scaled / 2) : Math.round(scaled)
  const at = new Date(0)
  at.setUTCFullYear(year, month - 1, day)
  at.setUTCHours(hour, minute + shift, second + Math.floor(micros / 1e6))
  return `${at.toISOString().slice(0, 19)}.${String(micros % 1e6).padStart(6, '0')}Z`
}

/** The text whose UTF-8 is hashed: by the audit's secret, its key in front, a separator between two fields, a text for what is NULL. */
export function canonicalRow(secret: string, fields: readonly AuditedField[], state: Readonly<Record<string, unknown>>): string {
  const texts = inNameOrder(fields).map(({ name, kind }) => canonicalText(kind, state[name]) ?? secret.slice(48))
  return secret.slice(0, 32) + texts.join(secret.slice(32, 48))
}

export function rowHash(row: string): Buffer {
  return createHash('sha256').update(row).digest()
}

/** The first bits, 24 at most, of what follows the two sums. */
export function bucketOf(hash: Buffer, depth: number): number {
  return hash.readUIntBE(16, 3) >>> (24 - depth)
}

/** Count and the two sums, modulo 2^64, of rows. */
export function digestOf(hashes: readonly Buffer[]): { readonly count: number; readonly a: string; readonly b: string } {
  const sum = (at: number): string =>
    BigInt.asUintN(
      64,
      hashes.reduce((total, hash) => total + hash.readBigUInt64BE(at), 0n),
    )
      .toString(16)
      .padStart(16, '0')
  return { count: hashes.length, a: sum(0), b: sum(8) }
}
