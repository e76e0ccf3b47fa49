import { type ContractDescription, describe, type Request } from '@comity/contract'
import { identityOf } from '../catalog/contract-check.ts'
import { contractsPublishedBy, type Declaration, subscriptionsOf } from '../catalog/declaration.ts'
import { dropCaptureSql } from '../outbox/capture/index.ts'
import { type Queryable, quoteLiteral } from '../postgres/index.ts'
import { ContractIdentityChanged, EntityHasSource } from './errors.ts'
import { replicaSteps } from './replica-steps.ts'
import { sameJson } from './same-json.ts'
import type { Step } from './step.ts'

/** How many lanes a subscription has for life: a key's lane must be the same in every process. */
const LANES = { handler: 16, replica: 4 } as const

/**
 * What the database must still learn of this declaration: contracts, subscriptions, replicas. Reads only.
 * @param older see {@link replicaSteps}
 */
export async function registrationSteps(database: Queryable, declaration: Declaration, older = false): Promise<readonly Step[]> {
  return [
    ...(await contractSteps(database, declaration, older)),
    ...(await requestSteps(database, declaration, older)),
    ...(await subscriptionSteps(database, declaration)),
    ...(await replicaSteps(database, declaration, older)),
  ]
}

interface RegisteredContract {
  readonly topic: string
  readonly kind: string
  readonly source: 'captured' | 'published'
  readonly keys: string
  readonly tenant: string | null
  readonly description: string
  /** A list of its earlier versions. */
  readonly earlier: string
  /** Of a captured one: it is announced now. */
  readonly capturing: boolean
}
const REGISTERED = `
  select c.topic, c.kind, c.source, array_to_json(c.key_fields)::text as keys, c.tenant_field as tenant, c.description::text as description,
    coalesce((select json_agg(v.description) from comity.contract_versions v where v.topic = c.topic), '[]')::text as earlier,
    exists (select from comity.captures p where p.topic = c.topic and p.released_at is null) as capturing
  from comity.contracts c`

async function contractSteps(database: Queryable, declaration: Declaration, older: boolean): Promise<readonly Step[]> {
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
      const isRegistered = sameJson(before.description, description) || (older && isOneOf(before.earlier, description))
      if (before.source === source && isRegistered) return []
    }
    const leftOver = before?.source === 'captured' && source === 'published' ? dropCaptureSql(contract.name) : []
    return [
      { title: `register the contract ${contract.name} (${source})`, sql: [registerContract(contract, source, description), ...leftOver] },
    ]
  })
}

function refuseOtherIdentity(contract: ContractDescription, { kind, keys, tenant }: RegisteredContract): void {
  const was = identityOf({ contractKind: kind, keyFields: JSON.parse(keys), ...(tenant === null ? {} : { tenantField: tenant }) })
  const is = identityOf(contract)
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

const ASKED = `
  select c.topic, c.description::text as description, c.former::text as former, c.handled_since is not null as handled from comity.asks c`
const ANSWERED = `
  select c.topic, c.entity, coalesce((
    select json_agg(v.description order by v.number desc) from comity.contract_versions v where v.topic = c.topic), '[]')::text as versions
  from comity.answered c`

async function requestSteps(database: Queryable, { asks, outcomes, answers }: Declaration, older: boolean): Promise<readonly Step[]> {
  const asked = new Map(
    (await database.query<{ topic: string; description: string; former: string; handled: boolean }>(ASKED)).rows.map((row) => [
      row.topic,
      row,
    ]),
  )
  const answered = new Map(
    (await database.query<{ topic: string; entity: string; versions: string }>(ANSWERED)).rows.map((row) => [row.topic, row]),
  )
  const isRegistered = (request: Request): boolean => {
    const before = answered.get(request.name)
    if (before?.entity !== request.entity) return false
    const versions = older ? before.versions : JSON.stringify((JSON.parse(before.versions) as unknown[]).slice(0, 1))
    return isOneOf(versions, JSON.stringify(describe(request)))
  }
  return [
    ...asks.flatMap((request) => {
      const before = asked.get(request.name)
      const description = JSON.stringify(describe(request))
      const handled = outcomes.some((outcome) => outcome.request.name === request.name)
      const isFormer = older && before !== undefined && isOneOf(before.former, description)
      if (isFormer || (before?.handled === handled && sameJson(before.description, description))) return []
      return [{ title: `register the request ${request.name} (asked)`, sql: [registerAsked(request, description, handled)] }]
    }),
    ...answers
      .filter(({ contract }) => !isRegistered(contract))
      .map(({ contract }) => ({
        title: `register the request ${contract.name} (answered)`,
        sql: [
          `insert into comity.answered (topic, entity) values (${quoteLiteral(contract.name)}, ${quoteLiteral(contract.entity)})
on conflict (topic) do update set entity = excluded.entity, registered_at = now()`,
          registerVersion(contract),
        ],
      })),
  ]
}

/** What its askers may still have is compared with what is to come; of what is published a trigger keeps the versions. */
function registerVersion(request: Request): string {
  const name = quoteLiteral(request.name)
  return `insert into comity.contract_versions (topic, number, description)
select ${name}, coalesce(max(v.number), 0) + 1, ${quoteLiteral(JSON.stringify(describe(request)))}::jsonb from comity.contract_versions v where v.topic = ${name}`
}

function registerAsked(request: Request, description: string, handled: boolean): string {
  const values = [
    ...[request.name, request.entity, request.owner].map(quoteLiteral),
    textArray(request.keyFields),
    request.tenantField === undefined ? 'null' : quoteLiteral(request.tenantField),
    textArray((request.schema as { required?: readonly string[] }).required ?? []),
    `${quoteLiteral(description)}::jsonb`,
    // What was heard before has had no handler, and gets none.
    handled ? 'now()' : 'null',
  ]
  return `insert into comity.asks as c (topic, entity, owner, key_fields, tenant_field, required_fields, description, handled_since)
values (${values.join(', ')})
on conflict (topic) do update set entity = excluded.entity, owner = excluded.owner, key_fields = excluded.key_fields, tenant_field = excluded.tenant_field,
  required_fields = excluded.required_fields, description = excluded.description, registered_at = now(),
  former = case when c.former @> jsonb_build_array(c.description) then c.former else c.former || jsonb_build_array(c.description) end,
  handled_since = case when excluded.handled_since is not null then coalesce(c.handled_since, excluded.handled_since) end`
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

/** @param descriptions a JSON list */
function isOneOf(descriptions: string, description: string): boolean {
  return (JSON.parse(descriptions) as unknown[]).some((one) => sameJson(JSON.stringify(one), description))
}

function textArray(values: readonly string[]): string {
  return `array[${values.map(quoteLiteral).join(', ')}]::text[]`
}
