import type { RowSource } from './row-source.ts'

/**
 * The statements that both sides run over their rows. A row's place is the first 31 bits of the keyed hash of its key; a bucket of depth `d` is
 * everything whose place begins with the same `d` bits, so a bucket is split by looking at more of them.
 *
 * $1 and $2 are what {@link secretsOf} makes of the audit's key. The subqueries end with OFFSET 0 so that no expression is computed twice.
 */
export interface DigestSql {
  /** `bucket`, `count`, `a`, `b` of every bucket that is not empty. $3 shift; with `within`: $4 shift and $5 buckets (int[]) of another depth. */
  readonly digests: string
  /** `bucket`, `key`, `hash` of every row. $3 shift, $4 buckets (int[]). */
  readonly rows: string
  /** `key`, `hash` of every row of the source, whatever else it has is left out. */
  readonly hashes: string
}

/** Bits of a place. */
export const PLACE_BITS = 31

/** Postgres 18 reads integers out of a bytea by itself, which halves the cost of a digest. */
export function digestSql(source: RowSource, server: { readonly major: number }, within = false): DigestSql {
  const texts = Array.from({ length: source.fields }, (_, i) => `f${i + 1}`).join(', ')
  const word = server.major >= 18 ? wordByCast : wordByBytes
  const keyed = `select s.*, sha256(decode($1::text, 'hex') || convert_to(s.key, 'UTF8')) as k from (${source.rows} offset 0) s offset 0`
  const placed = (condition: string): string =>
    `select p.*, sha256(decode($2::text, 'hex') || record_send(row(${texts}))) as h
     from (select k.*, ${placeOf(server.major)} as place from (${keyed}) k offset 0) p ${condition} offset 0`
  const hash = `encode(substring(h.h from 1 for 16), 'hex')`
  return {
    digests: `
      select h.place >> $3::int as bucket, count(*)::int as count, comity.audit_sum(sum(${word('h.h', 0)})) as a, comity.audit_sum(sum(${word('h.h', 8)})) as b
      from (${placed(within ? 'where p.place >> $4::int = any ($5::text::int[])' : '')}) h group by 1`,
    rows: `
      select h.place >> $3::int as bucket, h.key, ${hash} as hash
      from (${placed('where p.place >> $3::int = any ($4::text::int[])')}) h`,
    hashes: `select h.*, ${hash} as hash from (${placed('')}) h`,
  }
}

/** What is hashed before a key, and before a row, in hexadecimal; `secret` are the 32 bytes of the audit's key. */
export function secretsOf(secret: string): readonly [key: string, row: string] {
  return [`${secret}6b`, `${secret}72`]
}

function placeOf(major: number): string {
  if (major >= 18) return `(substring(k.k from 1 for 4)::int & 2147483647)`
  return `(((get_byte(k.k, 0) & 127) << 24) | (get_byte(k.k, 1) << 16) | (get_byte(k.k, 2) << 8) | get_byte(k.k, 3))`
}

function wordByCast(hash: string, at: number): string {
  return `substring(${hash} from ${at + 1} for 8)::bigint`
}
function wordByBytes(hash: string, at: number): string {
  const byte = (i: number): string => `get_byte(${hash}, ${at + i})`
  const high = [0, 1, 2, 3, 4].map((i) => `(${byte(i)}::bigint << ${56 - 8 * i})`)
  return `(${high.join(' | ')} | ((${byte(5)} << 16) | (${byte(6)} << 8) | ${byte(7)})::bigint)`
}
