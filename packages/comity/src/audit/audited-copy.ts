import type { SubsetCondition } from '../catalog/declaration.ts'
import type { Clock } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import { kindOf } from '../replica/canonical-kind.ts'
import { ReplicaNotMigrated } from '../replica/errors.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'
import { rowsOfStates } from '../replica/replica-sql.ts'
import type { Permit } from '../subscription/permits.ts'
import type { Reader } from '../subscription/reading.ts'
import { type AuditedField, inNameOrder } from './audited-field.ts'
import type { CopiedKey } from './classify.ts'
import { DigestSums, type SlicedDigest } from './digest-sums.ts'
import type { Buckets, HashedRow, Side } from './find-suspects.ts'
import { inSlices, LONGEST_REST, type Place, placeLiteral } from './in-slices.ts'
import { liftedStates } from './lifted-states.ts'
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
  /** The hashes that these states would have here, once they are lifted; null: none of this copy's rows. What can't be read is left out. */
  hashes(said: readonly { readonly key: string; readonly state: State }[]): Promise<ReadonlyMap<string, string | null>>
}
type State = Readonly<Record<string, unknown>>

export function auditedCopy(options: {
  readonly database: Database
  readonly shape: AuditedShape
  readonly fields: readonly AuditedField[]
  readonly secret: string
  readonly reader: Reader
  /** One statement of an audit at a time: the copy's subscription needs connections, too. */
  readonly permit: Permit
  readonly signal: AbortSignal
  readonly clock: Clock
}): AuditedCopy {
  const { database, shape, fields, secret, reader, permit, signal, clock } = options
  const ownSource = replicaSource(shape, fields)
  const source = JSON.stringify(ownSource)
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

  /** Only keys that a row of the source can have. */
  async function keysIn(of: string, keys: readonly string[]): Promise<ReadonlyMap<string, KeyRow>> {
    const rows = await rowsOf<KeyRow>(KEYS, [of, secret, arrayLiteral(keys.filter((key) => fitsKey(shape, key))), shape.name])
    return new Map(rows.map((row) => [row.key, row]))
  }

  return {
    async hashes(said) {
      const lifted = await permit(() => liftedStates(database, said, { reader, subset: shape.subset }))
      const rows = [...lifted].flatMap(([key, state]) => (state ? [{ key, state }] : []))
      const from = `${rowsOfStates(shape, JSON.stringify(rows.map(({ state }) => state)))} r`
      const found = await keysIn(
        JSON.stringify({ ...ownSource, from }),
        rows.map(({ key }) => key),
      )
      return new Map(
        [...lifted].flatMap(([key, state]): readonly (readonly [string, string | null])[] => {
          if (state === null) return [[key, null]]
          const hash = found.get(key)?.hash
          return hash ? [[key, hash]] : []
        }),
      )
    },
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
      const found = await keysIn(source, keys)
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

interface KeyRow {
  readonly key: string
  readonly hash: string | null
  readonly version: string | null
  readonly tombstone: string | null
  readonly waiting: string | null
}
