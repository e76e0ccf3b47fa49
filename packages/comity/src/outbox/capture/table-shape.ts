import { describeError, sqlStateOf } from '../../postgres/classify-error.ts'
import type { Queryable } from '../../postgres/database.ts'
import { qualified, quoteIdentifier, quoteLiteral } from '../../postgres/quote.ts'
import { TableNotFound } from './errors.ts'
import { nearestName } from './nearest-name.ts'

/** A Postgres type, domains resolved to what they are made of. */
export interface ColumnType {
  /** As in pg_type, e.g. `int8`. */
  readonly name: string
  readonly kind: 'base' | 'enum' | 'range' | 'composite' | 'pseudo'
  /** For casts and for people, e.g. `bigint`, `public.mood[]`. */
  readonly display: string
  /** Of an array. */
  readonly element?: ColumnType
}

export interface Column {
  readonly name: string
  readonly type: ColumnType
  readonly domain: boolean
  /** The columns that a virtual generated column is computed from (it is NULL in transition tables); absent for others. */
  readonly virtualOf?: readonly string[]
}

export interface UniqueIndex {
  readonly name: string
  readonly columns: readonly string[]
  /** Why it can't identify a row at every moment; undefined if it can. */
  readonly problem?: string
}

export interface Partition {
  /** Quoted and with its schema. */
  readonly table: string
  readonly leaf: boolean
  /** Has it the table's columns in the table's order? */
  readonly sameLayout: boolean
  readonly foreign: boolean
}

/** An expression over one row, as Postgres understands it. */
export interface Expression {
  readonly type: ColumnType
  readonly inputs: readonly string[]
  /** Why it can't be used. */
  readonly problem?: string
}

/** What capture has to know about a table. */
export interface TableShape {
  readonly schema: string
  readonly name: string
  /** Quoted and with its schema. */
  readonly table: string
  readonly kind: 'table' | 'partitioned' | 'partition' | 'other'
  readonly persistence: 'permanent' | 'unlogged' | 'temporary'
  /** Has it children by INHERITS, or is it one? */
  readonly inherits: boolean
  /** Would a policy hide rows from whoever runs this? */
  readonly rowSecurity: boolean
  readonly owner: string
  readonly columns: readonly Column[]
  readonly uniqueIndexes: readonly UniqueIndex[]
  readonly partitions: readonly Partition[]
  readonly encoding: string
  /** By their SQL text. */
  readonly expressions: Readonly<Record<string, Expression>>
}

/** What a table's expressions call the row: nothing that an expression would name by chance. */
export const ROW: string = quoteIdentifier('comity row')

/**
 * Reads a table's shape; changes nothing.
 *
 * @param table `customers`, `sales.customers`, or quoted as in SQL; without a schema by the search_path
 * @param expressions SQL expressions over one row of it that will be needed
 */
export async function inspectTable(db: Queryable, table: string, expressions: readonly string[] = []): Promise<TableShape> {
  const oid = await findTable(db, table)
  const [relation] = await rows<RelationRow>(db, RELATION, oid)
  if (relation === undefined) throw new TableNotFound({ table, hint: 'it has just been dropped' })
  const types = new Map((await rows<TypeRow>(db, TYPES, oid)).map((row) => [row.oid, row]))
  const columns = (await rows<ColumnRow>(db, COLUMNS, oid)).map((row) => column(row, types))
  const name = qualified(relation.schema, relation.name)
  const found: Record<string, Expression> = {}
  for (const sql of expressions) found[sql] = await inspectExpression(db, name, sql)
  const partitioned = relation.kind === 'p'
  return {
    schema: relation.schema,
    name: relation.name,
    table: name,
    kind: relation.is_partition ? 'partition' : partitioned ? 'partitioned' : relation.kind === 'r' ? 'table' : 'other',
    persistence: relation.persistence === 'p' ? 'permanent' : relation.persistence === 'u' ? 'unlogged' : 'temporary',
    inherits: !partitioned && !relation.is_partition && relation.inherits,
    rowSecurity: relation.row_security,
    owner: relation.owner,
    columns,
    uniqueIndexes: (await rows<IndexRow>(db, INDEXES, oid)).map(uniqueIndex),
    partitions: partitioned
      ? (await rows<PartitionRow>(db, PARTITIONS, oid)).map((row) => ({
          table: row.table,
          leaf: row.leaf,
          sameLayout: row.same_layout,
          foreign: row.foreign,
        }))
      : [],
    encoding: relation.encoding,
    expressions: found,
  }
}

/** `a.b` → `"a"."b"`; what is quoted already stays. */
function quoteName(name: string): string {
  return name.includes('"') ? name : name.split('.').map(quoteIdentifier).join('.')
}

async function findTable(db: Queryable, table: string): Promise<string> {
  const { rows: found } = await db.query<{ oid: string | null }>('select to_regclass($1::text)::oid::text as oid', [quoteName(table)])
  const oid = found[0]?.oid
  if (oid) return oid
  const { rows: tables } = await db.query<{ name: string; visible: boolean }>(
    `select case when pg_table_is_visible(c.oid) then c.relname else n.nspname || '.' || c.relname end as name, pg_table_is_visible(c.oid) as visible
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'comity')`,
  )
  const nearest = nearestName(
    table,
    tables.map(({ name }) => name),
  )
  throw new TableNotFound({
    table: JSON.stringify(table),
    hint:
      nearest === undefined ? 'create it first, or name it with its schema: <schema>.<table>' : `did you mean ${JSON.stringify(nearest)}?`,
  })
}

async function rows<Row>(db: Queryable, sql: string, oid: string): Promise<Row[]> {
  return (await db.query<Row>(sql, [oid])).rows
}

interface RelationRow {
  schema: string
  name: string
  kind: string
  persistence: string
  is_partition: boolean
  inherits: boolean
  row_security: boolean
  owner: string
  encoding: string
}
const RELATION = `
  select n.nspname as schema, c.relname as name, c.relkind::text as kind, c.relpersistence::text as persistence, c.relispartition as is_partition,
    exists (select from pg_inherits i where c.oid in (i.inhparent, i.inhrelid)) as inherits, row_security_active(c.oid) as row_security,
    pg_get_userbyid(c.relowner) as owner, current_setting('server_encoding') as encoding
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $1::text::oid`

interface TypeRow {
  oid: string
  name: string
  type: string
  base: string
  element: string
  is_array: boolean
  display: string
}
const TYPE_COLUMNS = `t.oid::text as oid, t.typname as name, t.typtype::text as type, t.typbasetype::text as base, t.typelem::text as element,
  t.typcategory = 'A' and t.typelem <> 0 as is_array, format_type(t.oid, null) as display`
/** The types of the columns, and what these are made of. */
const TYPES = `
  with recursive used(oid) as (
    select a.atttypid from pg_attribute a where a.attrelid = $1::text::oid and a.attnum > 0 and not a.attisdropped
    union
    select x.oid from used u join pg_type t on t.oid = u.oid cross join lateral (values (t.typbasetype), (t.typelem)) x(oid) where x.oid <> 0
  )
  select ${TYPE_COLUMNS} from used u join pg_type t on t.oid = u.oid`

interface ColumnRow {
  name: string
  type: string
  virtual: boolean
  inputs: string[]
}
const COLUMNS = `
  select a.attname as name, a.atttypid::text as type, a.attgenerated = 'v' as virtual,
    array(
      select i.attname::text from pg_attrdef f
        join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid not in (0, a.attnum)
          and (d.classid, d.objid, d.objsubid) in (('pg_attrdef'::regclass, f.oid, 0), ('pg_class'::regclass, a.attrelid, a.attnum))
        join pg_attribute i on i.attrelid = a.attrelid and i.attnum = d.refobjsubid
      where f.adrelid = a.attrelid and f.adnum = a.attnum
      group by i.attname order by i.attname
    ) as inputs
  from pg_attribute a where a.attrelid = $1::text::oid and a.attnum > 0 and not a.attisdropped order by a.attnum`

interface IndexRow {
  name: string
  columns: string[]
  immediate: boolean
  valid: boolean
  partial: boolean
  nullable: string[]
  nondeterministic: boolean
}
const INDEXES = `
  select c.relname as name, array_agg(a.attname::text order by k.position) as columns, i.indimmediate as immediate, i.indisvalid as valid,
    i.indpred is not null as partial, coalesce(array_agg(a.attname::text) filter (where not a.attnotnull), '{}') as nullable,
    bool_or(coalesce(not o.collisdeterministic, false)) as nondeterministic
  from pg_index i join pg_class c on c.oid = i.indexrelid
    cross join lateral unnest(i.indkey::int2[], i.indcollation::oid[]) with ordinality k(attnum, collation_oid, position)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    left join pg_collation o on o.oid = k.collation_oid
  where i.indrelid = $1::text::oid and i.indisunique and i.indexprs is null and k.position <= i.indnkeyatts
  group by c.relname, i.indexrelid, i.indimmediate, i.indisvalid, i.indpred is not null, i.indisprimary
  order by i.indisprimary desc, c.relname`

interface PartitionRow {
  table: string
  leaf: boolean
  same_layout: boolean
  foreign: boolean
}
const PARTITIONS = `
  with layout as (
    select p.relid, p.isleaf, array(
        select a.attname || ' ' || a.atttypid from pg_attribute a where a.attrelid = p.relid and a.attnum > 0 and not a.attisdropped order by a.attnum
      ) as columns
    from pg_partition_tree($1::text::oid) p
  )
  select format('%I.%I', n.nspname, c.relname) as table, l.isleaf as leaf, c.relkind = 'f' as foreign,
    l.columns = (select r.columns from layout r where r.relid = $1::text::oid) as same_layout
  from layout l join pg_class c on c.oid = l.relid join pg_namespace n on n.oid = c.relnamespace
  where l.relid <> $1::text::oid order by 1`

function column(row: ColumnRow, types: ReadonlyMap<string, TypeRow>): Column {
  return {
    name: row.name,
    type: columnType(row.type, types),
    domain: types.get(row.type)?.type === 'd',
    ...(row.virtual ? { virtualOf: row.inputs } : {}),
  }
}

const KINDS: Readonly<Record<string, ColumnType['kind']>> = { b: 'base', e: 'enum', r: 'range', m: 'range', c: 'composite', p: 'pseudo' }

function columnType(oid: string, types: ReadonlyMap<string, TypeRow>): ColumnType {
  const row = types.get(oid) as TypeRow
  if (row.type === 'd') return columnType(row.base, types)
  const element = row.is_array ? { element: columnType(row.element, types) } : {}
  return { name: row.name, kind: KINDS[row.type] ?? 'pseudo', display: row.display, ...element }
}

function uniqueIndex(row: IndexRow): UniqueIndex {
  const problem = !row.valid
    ? 'is not valid'
    : row.partial
      ? 'covers only some of the rows (WHERE)'
      : !row.immediate
        ? 'is DEFERRABLE: inside a transaction two rows may have one key'
        : row.nullable.length > 0
          ? `has columns that may be NULL (${row.nullable.join(', ')})`
          : row.nondeterministic
            ? 'has a nondeterministic collation: different keys would be equal'
            : undefined
  return { name: row.name, columns: row.columns, ...(problem === undefined ? {} : { problem }) }
}

/**
 * Postgres itself says of which type an expression is and which columns it reads: a view is made of it, looked at, and
 * rolled back with the error that carries the answer.
 */
async function inspectExpression(db: Queryable, table: string, sql: string): Promise<Expression> {
  const probe = `
    declare
      view oid;
      types jsonb;
    begin
      execute ${quoteLiteral(`create temporary view comity_probe as select (${sql}\n) as value from ${table} as ${ROW}`)};
      view := to_regclass('pg_temp.comity_probe');
      with recursive used(oid) as (
        select atttypid from pg_attribute where attrelid = view and attnum = 1
        union
        select x.oid from used u join pg_type t on t.oid = u.oid cross join lateral (values (t.typbasetype), (t.typelem)) x(oid) where x.oid <> 0
      )
      select jsonb_agg(to_jsonb(q)) into types from (select ${TYPE_COLUMNS} from used u join pg_type t on t.oid = u.oid) q;
      raise exception using errcode = 'CM900', message = (
        select jsonb_build_object('types', types, 'type', (select atttypid::text from pg_attribute where attrelid = view and attnum = 1),
          'inputs', coalesce(jsonb_agg(distinct a.attname) filter (where a.attname is not null), '[]'),
          'others', coalesce(jsonb_agg(distinct d.refobjid::regclass::text) filter (where d.refobjid <> ${quoteLiteral(table)}::regclass), '[]'))
        from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
          left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and d.refobjsubid > 0 and d.refobjid = ${quoteLiteral(table)}::regclass
        where r.ev_class = view and d.refobjid <> view)::text;
    end`
  try {
    await db.query(`do ${quoteLiteral(probe)}`)
  } catch (error) {
    const unknown = { type: { name: 'unknown', kind: 'pseudo', display: 'unknown' }, inputs: [] } as const
    if (sqlStateOf(error) === undefined) throw error
    if (sqlStateOf(error) !== 'CM900') return { ...unknown, problem: describeError(error) }
    const answer = JSON.parse((error as Error).message) as { types: TypeRow[]; type: string; inputs: string[]; others: string[] }
    const type = columnType(answer.type, new Map(answer.types.map((row) => [row.oid, row])))
    const problem = answer.others.length > 0 ? { problem: `it reads ${answer.others.join(', ')}, whose changes would go unnoticed` } : {}
    return { type, inputs: answer.inputs, ...problem }
  }
  throw new TableNotFound({ table, hint: 'a DO block that must fail did not: is this connection a real Postgres?' })
}
