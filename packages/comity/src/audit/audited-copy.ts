import type { SubsetCondition } from '../catalog/declaration.ts'
import type { Clock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import { kindOf } from '../replica/canonical-kind.ts'
import { ReplicaNotMigrated } from '../replica/errors.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'
import type { Permit } from '../subscription/permits.ts'
import { type AuditedField, inNameOrder } from './audited-field.ts'
import type { CopiedKey } from './classify.ts'
import { DigestSums, type SlicedDigest } from './digest-sums.ts'
import type { Buckets, HashedRow, Side } from './find-suspects.ts'
import { inSlices, LONGEST_REST, type Place, placeLiteral } from './in-slices.ts'
import { fitsKey, replicaSource } from './row-source.ts'

const SHAPE = `
  select table_schema, table_name, columns::text as columns, subset::text as subset from comity.replicas where name = $1::text`
/* An audit that confirms a rebuild looks at the table that is to take the other one's place. */
const AUDITED_SHAPE = `
  select r.table_schema, coalesce(n.rebuilt ->> 'table', r.table_name) as table_name, coalesce(n.rebuilt -> 'columns', r.columns)::text as columns,
    r.subset::text as subset
  from comity.replicas r left join lateral (
    select r.rebuilt where exists (select from comity.audits a where a.id = $2::text::uuid and a.cause = 'backfill')
      and exists (select from comity.asked_backfills b where b.replica = r.name and b.why = 'rebuild' and b.state = 'settling')) n on true
  where r.name = $1::text`
const UPTO = 'select comity.audit_upto($1::text::jsonb, $2::text::text[], $3::int) as upto'
const DIGESTS = `
  select bucket, count, a, b
  from comity.audit_digests($1::text::jsonb, $2::text, $3::text::text[], $4::text::text[], $5::int, $6::int, $7::text::int[])`
const ROWS = `
  select bucket, key, hash from comity.audit_rows($1::text::jsonb, $2::text, $3::text::text[], $4::text::text[], $5::int, $6::text::int[])`
const KEYS = `
  select key, hash, version, tombstone, waiting from comity.audit_copied_keys($1::text::jsonb, $2::text, $3::text::text[], $4::text)`

/** What of a copy is compared: its table, and which of its owner's rows it keeps. */
export interface AuditedShape extends ReplicaShape {
  readonly subset?: readonly SubsetCondition[]
}

/** What the database says of a copy's table now: a newer process may have widened it. Throws COMITY_REPLICA_NOT_MIGRATED. */
export async function shapeOf(sql: Queryable, name: string, audit?: string): Promise<AuditedShape> {
  type Row = { table_schema: string; table_name: string; columns: string; subset: string | null }
  const { rows } = await (audit === undefined ? sql.query<Row>(SHAPE, [name]) : sql.query<Row>(AUDITED_SHAPE, [name, audit]))
  const row = rows[0]
  if (row === undefined) throw new ReplicaNotMigrated({ replica: name })
  const { table_schema: schema, table_name: table, columns, subset } = row
  return {
    ...{ name, schema, table, columns: JSON.parse(columns) as ReplicaColumn[] },
    ...(subset === null ? {} : { subset: JSON.parse(subset) as SubsetCondition[] }),
  }
}

/** The fields that an audit compares: all that the copy has, or only those of the key. */
export function auditedFields({ columns }: ReplicaShape, extent: 'full' | 'keys'): readonly AuditedField[] {
  // Of two columns of one field the newer one is compared.
  const each = new Map(columns.map((column) => [column.field, column]))
  return inNameOrder(
    [...each.values()]
      .filter(({ key }) => extent === 'full' || key !== undefined)
      .map((column) => ({ name: column.field, kind: kindOf(column) })),
  )
}

/** A copy as its audit looks at it. */
export interface AuditedCopy extends Side {
  /** What holds of these keys here, now. */
  keys(keys: readonly string[]): Promise<readonly CopiedKey[]>
}

export function auditedCopy(options: {
  readonly database: Database
  readonly shape: ReplicaShape
  readonly fields: readonly AuditedField[]
  readonly secret: string
  /** One statement of an audit at a time: the copy's subscription needs connections, too. */
  readonly permit: Permit
  readonly signal: AbortSignal
  readonly clock: Clock
}): AuditedCopy {
  const { database, shape, fields, secret, permit, signal, clock } = options
  const source = JSON.stringify(replicaSource(shape, fields))
  const rowsOf = <Row>(text: string, values: readonly unknown[]): Promise<readonly Row[]> =>
    permit(async () => (await database.query<Row>(text, values)).rows)
  const inSlicesOf = <Row>(text: string, values: readonly unknown[], take: (rows: readonly Row[]) => void): Promise<void> =>
    inSlices({
      async upto(after, most) {
        const [row] = await rowsOf<{ upto: string | null }>(UPTO, [source, placeLiteral(after), most])
        return row?.upto ? (JSON.parse(row.upto) as Place) : undefined
      },
      async look({ after, upto }) {
        take(await rowsOf<Row>(text, [source, secret, placeLiteral(after), placeLiteral(upto), ...values]))
      },
      // As long as it has worked, as its owner does: the two stay about as far.
      between: (worked) => clock.sleep(Math.min(LONGEST_REST, worked), signal),
      ...{ signal, clock },
    })

  return {
    async digests(depth: number, within?: Buckets) {
      const sums = new DigestSums()
      const values = [depth, within?.depth ?? null, within === undefined ? null : arrayLiteral(within.buckets)]
      await inSlicesOf<SlicedDigest>(DIGESTS, values, (digests) => sums.add(digests))
      return sums.all()
    },
    async rows({ depth, buckets }) {
      const all: HashedRow[] = []
      await inSlicesOf<HashedRow>(ROWS, [depth, arrayLiteral(buckets)], (rows) => all.push(...rows))
      return all
    },
    async keys(keys) {
      const fitting = keys.filter((key) => fitsKey(shape, key))
      const rows = await rowsOf<{
        key: string
        hash: string | null
        version: string | null
        tombstone: string | null
        waiting: string | null
      }>(KEYS, [source, secret, arrayLiteral(fitting), shape.name])
      const found = new Map(rows.map((row) => [row.key, row]))
      return keys.map((key): CopiedKey => {
        const row = found.get(key)
        return {
          ...{ key, hash: row?.hash ?? null, version: Math.max(Number(row?.version ?? 0), Number(row?.tombstone ?? 0)) },
          ...(row?.waiting ? { waiting: row.waiting } : {}),
        }
      })
    },
  }
}
