import { columnFromWire, wireFromColumn } from '../outbox/capture/index.ts'
import { quoteIdentifier, quoteLiteral } from '../postgres/quote.ts'
import type { ReplicaColumn, ReplicaShape } from './replica-columns.ts'
import { copyStatement } from './replica-copy.ts'

/** The statements of one replica, made once per list of columns. */
export interface ReplicaSql {
  /** Quoted, with its schema. */
  readonly table: string
  /** $1 keys, $2 versions, $3 states (one JSON array), $4 replica: answers the versions that were applied, as a JSON array. */
  readonly upsert: string
  /** $1 keys, $2 the version of all of them, $3 states (one JSON array), $4 replica: answers how many were `applied`. */
  readonly fill: string
  /**
   * $1 keys, $2 replica: those of which there is a row or a tombstone (`known`, a JSON array), and whether the table may be copied into (`copied`).
   * Under the locks of its lanes that stays so.
   */
  readonly known: string
  /** Takes lines of states (replica-copy.ts) whose keys are not known. */
  readonly copy: string
  readonly columns: readonly ReplicaColumn[]
  /** $1 version, $2 replica, $3 most: `keys` of rows that are older and not left by a backfill, as a JSON array. */
  readonly older: string
  /** $1 keys, $2 versions, $3 replica: answers the versions that are stale, as a JSON array. */
  readonly remove: string
  /** $1 keys, $2 versions, $3 states (one JSON array): of what was not applied, the versions that are no mere repetition, and why. */
  readonly suspects: string
  /** $1 key, $2 version: whether there is a row of it that is older (`found`). */
  readonly has: string
  /** Whether a row `r` has the key whose text is `i.key`: for conditions of other statements. */
  readonly isKey: string
  /** $1 key, $2 replica: the version of the row or of its tombstone. */
  readonly version: string
}

/** The version of the row: in every replica, whatever its fields are called. */
export const VERSION_COLUMN = 'comity_version'

export function replicaSql(replica: ReplicaShape): ReplicaSql {
  const table = `${quoteIdentifier(replica.schema)}.${quoteIdentifier(replica.table)}`
  const columns = replica.columns.map(({ column }) => quoteIdentifier(column))
  const keys = replica.columns.filter((column) => column.key !== undefined).sort((a, b) => (a.key as number) - (b.key as number))
  const others = replica.columns.filter((column) => column.key === undefined)
  const keyColumns = keys.map(({ column }) => quoteIdentifier(column))
  const isKey = keys.map((key) => `r.${quoteIdentifier(key.column)} = ${fromKey(key, keys.length, 'i.key')}`).join(' and ')
  // A state speaks for its own key only.
  const isOwn = keys.map((key) => `${fromState(key)} = ${fromKey(key, keys.length, 'i.key')}`).join(' and ')
  const values = replica.columns.map((column) => fromState(column))
  // A field that is on its way to a column of another name has both.
  const fields = replica.columns.filter(({ field }, i) => replica.columns.findIndex((other) => other.field === field) === i)
  const stateColumns = fields.map(stateColumn).join(', ')
  const stateNames = fields.map(({ field }) => stateName(field)).join(', ')
  // The states are taken apart in one pass; escaping them into a text[] would cost both sides more than reading them.
  const states = `rows from (unnest($1::text::text[]), unnest($2::text::bigint[]),
          json_to_recordset($3::text::json) as (${stateColumns}))
          i(key, version, ${stateNames})`
  const set = [...others.map(({ column }) => column), VERSION_COLUMN].map(
    (column) => `${quoteIdentifier(column)} = excluded.${quoteIdentifier(column)}`,
  )
  const same = others.map((column) => `r.${quoteIdentifier(column.column)}::text is not distinct from (${fromState(column)})::text`)

  const apply = `insert into ${table} as r (${columns.join(', ')}, ${VERSION_COLUMN})
        select ${values.join(', ')}, i.version from incoming i
        on conflict (${keyColumns.join(', ')}) do update set ${set.join(', ')} where r.${VERSION_COLUMN} < excluded.${VERSION_COLUMN}`

  return {
    table,
    isKey,
    // One statement: a state older than the key's tombstone or row changes nothing.
    upsert: `
      with incoming as materialized (
        select * from ${states}
        where ${isOwn} and not exists (select from comity.tombstones t where t.replica = $4::text and t.key = i.key and t.version >= i.version)
      ), applied as (
        ${apply}
        returning r.${VERSION_COLUMN} as version
      )
      select coalesce(json_agg(version), '[]')::text as versions from applied`,
    fill: `
      with incoming as materialized (
        select i.*, $2::text::bigint as version from rows from (unnest($1::text::text[]),
          json_to_recordset($3::text::json) as (${stateColumns}))
          i(key, ${stateNames})
        where ${isOwn} and not exists (select from comity.tombstones t where t.replica = $4::text and t.key = i.key and t.version >= $2::text::bigint)
      ), applied as (
        ${apply}
        returning 1
      )
      select count(*)::int as applied from applied`,
    // LIMIT has the index asked key by key: as an EXISTS the planner reads the whole table for some plans, at each chunk.
    known: `
      with any_tombstone as materialized (select exists (select from comity.tombstones t where t.replica = $2::text) as there)
      select coalesce(json_agg(i.key), '[]')::text as known, not row_security_active(${quoteLiteral(table)}) as copied
      from unnest($1::text::text[]) i(key)
        left join lateral (select true as found from ${table} r where ${isKey} limit 1) r on true
        left join lateral (select true as found from comity.tombstones t where (select a.there from any_tombstone a) and t.replica = $2::text and t.key = i.key limit 1) t on true
      where r.found or t.found`,
    copy: copyStatement(table, replica.columns, VERSION_COLUMN),
    columns: replica.columns,
    older: `
      select coalesce(json_agg(o.key), '[]')::text as keys from (
        select ${keyText('r', keys)} as key from ${table} r
        where r.${VERSION_COLUMN} < $1::text::bigint and not exists (select from comity.backfill_left i where i.replica = $2::text and ${isKey})
        limit $3::int) o`,
    has: `select exists (select from ${table} r, (select $1::text as key) i where ${isKey} and r.${VERSION_COLUMN} < $2::text::bigint) as found`,
    // The row goes, its version stays: without it a late older state would bring the row back.
    remove: `
      with incoming as materialized (select * from unnest($1::text::text[], $2::text::bigint[]) i(key, version)),
        removed as (delete from ${table} r using incoming i where ${isKey} and r.${VERSION_COLUMN} < i.version returning 1),
        marked as (
          insert into comity.tombstones as t (replica, key, version) select $3::text, i.key, i.version from incoming i
          on conflict (replica, key) do update set version = excluded.version, deleted_at = excluded.deleted_at where t.version < excluded.version
          returning t.version
        )
      select coalesce(json_agg(i.version), '[]')::text as versions from incoming i
      where i.version not in (select version from marked) or exists (select from ${table} r where ${isKey} and r.${VERSION_COLUMN} > i.version)`,
    suspects: `
      select i.version::text as version, not coalesce(${isOwn}, false) as other_key
      from ${states} left join ${table} r on ${isKey} and r.${VERSION_COLUMN} = i.version
      where not coalesce(${isOwn}, false) or (r.${VERSION_COLUMN} is not null and not (${same.length === 0 ? 'true' : same.join(' and ')}))`,
    version: `
      select greatest((select r.${VERSION_COLUMN} from ${table} r, (select $1::text as key) i where ${isKey}),
                      (select t.version from comity.tombstones t where t.replica = $2::text and t.key = $1::text))::text as version`,
  }
}

/** SQL of the rows that some states would be in a replica's table, under version 0. @param states one JSON array */
export function rowsOfStates({ columns }: ReplicaShape, states: string): string {
  const fields = columns.filter(({ field }, i) => columns.findIndex((other) => other.field === field) === i)
  const values = columns.map((column) => `${fromState(column)} as ${quoteIdentifier(column.column)}`)
  return `(select ${values.join(', ')}, 0::bigint as ${VERSION_COLUMN}
    from rows from (json_to_recordset(${quoteLiteral(states)}::json) as (${fields.map(stateColumn).join(', ')}))
      i(${fields.map(({ field }) => stateName(field)).join(', ')}))`
}

/** The table of a new replica: yours to index and join. */
export function createReplicaTable(replica: ReplicaShape): string {
  const keys = replica.columns.filter((column) => column.key !== undefined).sort((a, b) => (a.key as number) - (b.key as number))
  const columns = replica.columns.map(columnDefinition)
  return `create table ${quoteIdentifier(replica.schema)}.${quoteIdentifier(replica.table)} (
  ${[...columns, `${VERSION_COLUMN} bigint not null`, `primary key (${keys.map(({ column }) => quoteIdentifier(column)).join(', ')})`].join(',\n  ')}
)`
}

export function columnDefinition({ column, type, key }: ReplicaColumn): string {
  return `${quoteIdentifier(column)} ${type}${type === 'text' ? ' collate "C"' : ''}${key === undefined ? '' : ' not null'}`
}

const isJson = (column: ReplicaColumn): boolean => column.type === 'jsonb' || column.type === 'json'

/** A prefix keeps a field called `key` or `version` apart from the message's own. */
const stateName = (field: string): string => quoteIdentifier(`s ${field}`)

function stateColumn(column: ReplicaColumn): string {
  return `${quoteIdentifier(column.field)} ${isJson(column) ? 'jsonb' : 'text'}`
}

function fromState(column: ReplicaColumn): string {
  const value = `i.${stateName(column.field)}`
  return isJson(column) ? value : columnFromWire(column.type, value)
}

/** The key of a row as its messages have it: a value's text, or a JSON array of the values. */
function keyText(row: string, keys: readonly ReplicaColumn[]): string {
  const column = (key: ReplicaColumn): string => `${row}.${quoteIdentifier(key.column)}`
  const [only, ...others] = keys as readonly [ReplicaColumn, ...ReplicaColumn[]]
  if (others.length === 0) return `(${wireFromColumn(only.type, column(only))})::text`
  const part = (key: ReplicaColumn): string =>
    key.type === 'bigint' ? `${column(key)}::text` : `to_json((${wireFromColumn(key.type, column(key))})::text)::text`
  return `'[' || ${keys.map(part).join(` || ',' || `)} || ']'`
}

/** The key's text is the value itself, or a JSON array of the values. */
function fromKey(column: ReplicaColumn, parts: number, key: string): string {
  const text = parts === 1 ? key : `(${key}::jsonb ->> ${column.key})`
  return columnFromWire(column.type, text)
}
