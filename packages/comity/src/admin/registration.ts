import { type ContractDescription, describe } from '@comity/contract'
import { contractsPublishedBy, type Declaration, type Kept, subscriptionsOf } from '../catalog/declaration.ts'
import { replicaColumnType, snakeCase } from '../outbox/capture/index.ts'
import { type Queryable, quoteLiteral } from '../postgres/index.ts'
import { ReplicaChanged, ReplicaColumnsCollide, ReplicaTableTaken } from '../replica/errors.ts'
import type { ReplicaColumn, ReplicaShape } from '../replica/replica-columns.ts'
import { createReplicaTable } from '../replica/replica-sql.ts'

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

async function contractSteps(database: Queryable, declaration: Declaration): Promise<readonly Step[]> {
  const { rows } = await database.query<{ topic: string; source: string; description: string }>(
    'select topic, source, description::text as description from comity.contracts',
  )
  const registered = new Map(rows.map((row) => [row.topic, row]))
  const captured = new Set(declaration.owns.filter(({ table }) => table !== undefined).map(({ entity }) => entity.name))
  return contractsPublishedBy(declaration).flatMap((contract) => {
    const source = captured.has(contract.name) ? 'captured' : 'published'
    const before = registered.get(contract.name)
    const description = JSON.stringify(describe(contract))
    if (before?.source === source && sameJson(before.description, description)) return []
    return [{ title: `register the contract ${contract.name} (${source})`, sql: [registerContract(contract, source, description)] }]
  })
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
  const { rows } = await database.query<{ name: string; columns: string }>('select name, columns::text as columns from comity.replicas')
  const registered = new Map(rows.map((row) => [row.name, row.columns]))
  const steps: Step[] = []
  for (const kept of declaration.keeps) {
    const shape = replicaShape(kept)
    const before = registered.get(kept.name)
    if (before !== undefined) {
      refuseChange(kept.name, JSON.parse(before) as ReplicaColumn[], shape.columns)
      continue
    }
    const table = `${kept.schema}.${kept.table}`
    const taken = await database.query<{ taken: boolean }>(
      `select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1::text and c.relname = $2::text) as taken`,
      [kept.schema, kept.table],
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
      ],
    })
  }
  return steps
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

function refuseChange(replica: string, before: readonly ReplicaColumn[], now: readonly ReplicaColumn[]): void {
  const had = new Set(before.map(({ field }) => field))
  const has = new Set(now.map(({ field }) => field))
  const added = [...has].filter((field) => !had.has(field))
  const removed = [...had].filter((field) => !has.has(field))
  if (added.length > 0) throw new ReplicaChanged({ replica, change: `${added.join(', ')} added` })
  if (removed.length > 0) throw new ReplicaChanged({ replica, change: `${removed.join(', ')} removed` })
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
