import { type ContractDescription, describe } from '@comity/contract'
import { contractsPublishedBy, type Declaration, type Kept, subscriptionsOf } from '../catalog/declaration.ts'
import { dropCaptureSql, replicaColumnType, snakeCase } from '../outbox/capture/index.ts'
import { type Queryable, quoteIdentifier, quoteLiteral } from '../postgres/index.ts'
import { ReplicaChanged, ReplicaColumnsCollide, ReplicaTableTaken } from '../replica/errors.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'
import { columnDefinition, createReplicaTable } from '../replica/replica-sql.ts'
import { ContractIdentityChanged, EntityHasSource } from './errors.ts'

/** One thing that `comity migrate` does beside its numbered migrations. */
export interface Step {
  /** In words, for --check and the report. */
  readonly title: string
  readonly sql: readonly string[]
}

/** How many lanes a subscription has for life: a key's lane must be the same in every process. */
const LANES = { handler: 16, replica: 4 } as const

/** What the database must still learn of this declaration: contracts, subscriptions, replicas. Reads only. */
export async function registrationSteps(database: Queryable, declaration: Declaration): Promise<readonly Step[]> {
  return [
    ...(await contractSteps(database, declaration)),
    ...(await subscriptionSteps(database, declaration)),
    ...(await replicaSteps(database, declaration)),
  ]
}

interface RegisteredContract {
  readonly topic: string
  readonly kind: string
  readonly source: 'captured' | 'published'
  readonly keys: string
  readonly tenant: string | null
  readonly description: string
  /** Of a captured one: it is announced now. */
  readonly capturing: boolean
}
const REGISTERED = `
  select c.topic, c.kind, c.source, array_to_json(c.key_fields)::text as keys, c.tenant_field as tenant, c.description::text as description,
    exists (select from comity.captures p where p.topic = c.topic and p.released_at is null) as capturing
  from comity.contracts c`

async function contractSteps(database: Queryable, declaration: Declaration): Promise<readonly Step[]> {
  const { rows } = await database.query<RegisteredContract>(REGISTERED)
  const registered = new Map(rows.map((row) => [row.topic, row]))
  const captured = new Set(declaration.owns.filter(({ table }) => table !== undefined).map(({ entity }) => entity.name))
  return contractsPublishedBy(declaration).flatMap((contract) => {
    const source = captured.has(contract.name) ? 'captured' : 'published'
    const before = registered.get(contract.name)
    const description = JSON.stringify(describe(contract))
    if (before !== undefined) {
      refuseOtherIdentity(contract, before)
      refuseSecondSource(contract, before, source)
      if (before.source === source && sameJson(before.description, description)) return []
    }
    const leftOver = before?.source === 'captured' && source === 'published' ? dropCaptureSql(contract.name) : []
    return [
      { title: `register the contract ${contract.name} (${source})`, sql: [registerContract(contract, source, description), ...leftOver] },
    ]
  })
}

/** Versions, lanes and copies go by the key: under one name it stays what it is. */
function refuseOtherIdentity(contract: ContractDescription, before: RegisteredContract): void {
  const identity = (kind: string, keys: readonly string[], tenant: string | null): string =>
    `${kind} with key ${keys.join(', ')} and ${tenant === null ? 'no tenant' : `tenant ${tenant}`}`
  const was = identity(before.kind, JSON.parse(before.keys), before.tenant)
  const is = identity(contract.contractKind, contract.keyFields, contract.tenantField ?? null)
  if (was !== is) throw new ContractIdentityChanged({ contract: contract.name, was, is })
}

/** Two sources would announce each change twice, and in no order. */
function refuseSecondSource(contract: ContractDescription, before: RegisteredContract, source: string): void {
  if (before.source === source) return
  const { name } = contract
  if (before.source === 'captured' && before.capturing)
    throw new EntityHasSource({ entity: name, source: 'captured from a table', remedy: `run "comity release ${name}" first` })
}

/** States that code has published, of entities that are to be captured now. Only the owner may read them. */
export async function refusePublishedStates(database: Queryable, declaration: Declaration): Promise<void> {
  const captured = declaration.owns.filter(({ table }) => table !== undefined).map(({ entity }) => entity.name)
  const { rows } = await database.query<{ topic: string }>(
    `select c.topic from comity.contracts c
     where c.topic in (select jsonb_array_elements_text($1::text::jsonb)) and c.source = 'published'
       and exists (select from comity.heads h where h.topic = c.topic and not h.deleted)`,
    [JSON.stringify(captured)],
  )
  const entity = rows[0]?.topic
  if (entity === undefined) return
  const remedy = `check that its table holds every state that was published; then: delete from comity.heads where topic = '${entity}'`
  throw new EntityHasSource({ entity, source: 'published by code', remedy })
}

function registerContract(contract: ContractDescription, source: string, description: string): string {
  const required = (contract.schema as { required?: readonly string[] }).required ?? []
  const values = [
    quoteLiteral(contract.name),
    quoteLiteral(contract.contractKind),
    quoteLiteral(source),
    textArray(contract.keyFields),
    contract.tenantField === undefined ? 'null' : quoteLiteral(contract.tenantField),
    String(contract.ordered),
    textArray(required),
    `${quoteLiteral(description)}::jsonb`,
  ]
  return `insert into comity.contracts (topic, kind, source, key_fields, tenant_field, ordered, required_fields, description)
values (${values.join(', ')})
on conflict (topic) do update set source = excluded.source, key_fields = excluded.key_fields, tenant_field = excluded.tenant_field,
  ordered = excluded.ordered, required_fields = excluded.required_fields, description = excluded.description, registered_at = now()`
}

async function subscriptionSteps(database: Queryable, declaration: Declaration): Promise<readonly Step[]> {
  const { rows } = await database.query<{ name: string }>('select name from comity.subscriptions')
  const registered = new Set(rows.map(({ name }) => name))
  return subscriptionsOf(declaration)
    .filter(({ name }) => !registered.has(name))
    .map(({ name, contract, kind }) => ({
      title: `register the subscription ${name}`,
      sql: [
        `insert into comity.subscriptions (name, topic, kind, lanes) values (${quoteLiteral(name)}, ${quoteLiteral(contract.name)}, '${kind}', ${LANES[kind]})`,
        `insert into comity.lanes (subscription, lane) select ${quoteLiteral(name)}, generate_series(0, ${LANES[kind] - 1})`,
        `insert into comity.counts (subscription, lane) select ${quoteLiteral(name)}, generate_series(0, ${LANES[kind] - 1})`,
      ],
    }))
}

async function replicaSteps(database: Queryable, declaration: Declaration): Promise<readonly Step[]> {
  const { rows } = await database.query<RegisteredReplica>(
    `select name, table_schema || '.' || table_name as "table", columns::text as columns from comity.replicas`,
  )
  const registered = new Map(rows.map((row) => [row.name, row]))
  const steps: Step[] = []
  for (const kept of declaration.keeps) {
    const shape = replicaShape(kept)
    const before = registered.get(kept.name)
    if (before !== undefined) {
      steps.push(...widening(kept, before, shape))
      continue
    }
    const table = `${kept.schema}.${kept.table}`
    // In one snapshot: since it was asked what is registered, another process that migrates may have made both.
    const taken = await database.query<{ taken: boolean }>(
      `select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1::text and c.relname = $2::text)
         and not exists (select from comity.replicas where name = $3::text) as taken`,
      [kept.schema, kept.table, kept.name],
    )
    if (taken.rows[0]?.taken) throw new ReplicaTableTaken({ table, replica: kept.name })
    steps.push({
      title: `create the replica ${table} of ${kept.entity.name}`,
      sql: [
        createReplicaTable(shape),
        `insert into comity.replicas (name, topic, table_schema, table_name, columns) values (${[
          kept.name,
          kept.entity.name,
          kept.schema,
          kept.table,
        ]
          .map(quoteLiteral)
          .join(', ')}, ${quoteLiteral(JSON.stringify(shape.columns))}::jsonb)`,
        askFor(kept, 'new'),
      ],
    })
  }
  return steps
}

/** What its owner has already: asked for as soon as the team runs. */
function askFor({ name, entity }: Kept, why: 'new' | 'fields'): string {
  return `insert into comity.asked_backfills (replica, owner, entity, why) values (${[name, entity.owner, entity.name, why].map(quoteLiteral).join(', ')})`
}

/** The table that a declaration asks for: key, tenant, declared fields; snake_case unless named otherwise. */
export function replicaShape(kept: Kept): ReplicaShape {
  const { entity } = kept
  const fields = [...new Set([...entity.keyFields, ...(entity.tenantField === undefined ? [] : [entity.tenantField]), ...kept.fields])]
  const properties = (entity.schema as { properties?: Readonly<Record<string, object>> }).properties ?? {}
  const columns = fields.map((field): ReplicaColumn => {
    const key = entity.keyFields.indexOf(field)
    return {
      field,
      column: kept.columns[field] ?? snakeCase(field),
      type: replicaColumnType(properties[field] ?? {}, entity.schema),
      ...(key < 0 ? {} : { key }),
    }
  })
  const seen = new Set<string>(['comity_version'])
  for (const { column } of columns) {
    if (seen.has(column)) throw new ReplicaColumnsCollide({ replica: kept.name, column })
    seen.add(column)
  }
  return { name: kept.name, schema: kept.schema, table: kept.table, columns }
}

interface RegisteredReplica {
  readonly name: string
  readonly table: string
  readonly columns: string
}

/** Fields that were added: their columns, and a backfill of this copy alone. Every other change is refused. */
function widening(kept: Kept, before: RegisteredReplica, now: ReplicaShape): readonly Step[] {
  const added = addedColumns(before, now)
  if (added.length === 0) return []
  const table = `${quoteIdentifier(now.schema)}.${quoteIdentifier(now.table)}`
  const name = quoteLiteral(now.name)
  return [
    {
      title: `add ${added.map(({ field }) => field).join(', ')} to the replica ${now.schema}.${now.table}`,
      sql: [
        `alter table ${table} ${added.map((column) => `add column ${columnDefinition(column)}`).join(', ')}`,
        `update comity.replicas set columns = ${quoteLiteral(JSON.stringify(now.columns))}::jsonb where name = ${name}`,
        // One that is under way knows nothing of them.
        `update comity.asked_backfills set state = 'cancelled', wanted = 'cancel', reason = 'fields were added', ended_at = clock_timestamp()
where replica = ${name} and state in ('asking', 'filling', 'settling')`,
        askFor(kept, 'fields'),
      ],
    },
  ]
}

function addedColumns(before: RegisteredReplica, now: ReplicaShape): readonly ReplicaColumn[] {
  const refuse = (change: string): never => {
    throw new ReplicaChanged({ replica: now.name, change })
  }
  const table = `${now.schema}.${now.table}`
  if (before.table !== table) refuse(`its table is ${before.table}, not ${table}`)
  const had = new Map((JSON.parse(before.columns) as ReplicaColumn[]).map((column) => [column.field, column]))
  const has = new Map(now.columns.map((column) => [column.field, column]))
  const added = [...has.keys()].filter((field) => !had.has(field))
  const removed = [...had.keys()].filter((field) => !has.has(field))
  if (removed.length > 0) refuse(`${removed.join(', ')} removed`)
  for (const [field, { column, type }] of has) {
    const old = had.get(field)
    if (old === undefined) continue
    if (old.column !== column) refuse(`${field} is in the column ${old.column}, not ${column}`)
    if (old.type !== type) refuse(`the column ${column} is ${old.type}, not ${type}`)
  }
  return now.columns.filter(({ field }) => added.includes(field))
}

function textArray(values: readonly string[]): string {
  return `array[${values.map(quoteLiteral).join(', ')}]::text[]`
}

/** jsonb gives keys back in an order of its own. */
function sameJson(a: string, b: string): boolean {
  return JSON.stringify(sorted(JSON.parse(a))) === JSON.stringify(sorted(JSON.parse(b)))
}
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
