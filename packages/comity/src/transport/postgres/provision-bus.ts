import type { ProvisionPlan, ProvisionStep } from '../transport.ts'
import { textArray } from './binary-array.ts'
import type { BusConnection } from './bus-connection.ts'
import { migrateBus } from './bus-migrations.ts'

export interface ProvisionBusOptions {
  readonly url: string
  readonly plan: ProvisionPlan
  /** Of a topic whose plan names none. */
  readonly buckets: number
  readonly dryRun: boolean
}

/** Creates what the plan names and does not exist yet, the bus's schema first. Needs the operator role. */
export async function provisionBus(bus: BusConnection, options: ProvisionBusOptions): Promise<readonly ProvisionStep[]> {
  const { url, plan, buckets, dryRun } = options
  if (!dryRun) await migrateBus({ url })
  const names = async (table: 'topics' | 'subscriptions'): Promise<Set<string>> => {
    const [schema] = await bus.bareRows<{ present: boolean }>(`select to_regclass('comity_bus.' || $1::text) is not null as present`, [
      table,
    ])
    if (!schema?.present) return new Set()
    return new Set((await bus.bareRows<{ name: string }>(`select name from comity_bus.${table}`)).map((row) => row.name))
  }
  const [topics, subscriptions] = [await names('topics'), await names('subscriptions')]
  const senders = await sendersOf(bus)
  const granting = plan.topics
    .map(({ name, senders: wanted = [] }) => ({ name, added: wanted.filter((team) => !senders.has(`${name} ${team}`)) }))
    .filter(({ added }) => added.length > 0)
  const steps: ProvisionStep[] = [
    ...plan.topics.filter(({ name }) => !topics.has(name)).map(({ name }) => ({ action: 'create-topic', name }) as const),
    ...granting
      .filter(({ name }) => topics.has(name))
      .map(({ name, added }) => ({ action: 'update-topic', name, detail: `senders + ${added.join(', ')}` }) as const),
    ...plan.subscriptions
      .filter(({ name }) => !subscriptions.has(name))
      .map(({ name }) => ({ action: 'create-subscription', name }) as const),
  ]
  if (dryRun) return steps
  // What exists is given too: the functions refuse a plan that does not fit it.
  await bus.rows(
    `select comity_bus.create_topic(name, team, buckets, $4::integer)
       from unnest($1::text[], $2::text[], $3::integer[]) as plan (name, team, buckets)`,
    [
      textArray(plan.topics.map((topic) => topic.name)),
      textArray(plan.topics.map((topic) => topic.team)),
      `{${plan.topics.map((topic) => topic.buckets ?? 'null').join()}}`,
      buckets,
    ],
  )
  await bus.rows(`select comity_bus.grant_send(name, team) from unnest($1::text[], $2::text[]) as plan (name, team)`, [
    textArray(granting.flatMap(({ name, added }) => added.map(() => name))),
    textArray(granting.flatMap(({ added }) => added)),
  ])
  await bus.rows(
    `select comity_bus.create_subscription(name, team, topic) from unnest($1::text[], $2::text[], $3::text[]) as plan (name, team, topic)`,
    [
      textArray(plan.subscriptions.map((subscription) => subscription.name)),
      textArray(plan.subscriptions.map((subscription) => subscription.team)),
      textArray(plan.subscriptions.map((subscription) => subscription.topic)),
    ],
  )
  return steps
}

/** `<topic> <team>` of everyone who may send to a topic that is another team's. */
async function sendersOf(bus: BusConnection): Promise<ReadonlySet<string>> {
  const [schema] = await bus.bareRows<{ present: boolean }>(`select to_regclass('comity_bus.senders') is not null as present`)
  if (!schema?.present) return new Set()
  const rows = await bus.bareRows<{ name: string }>(
    `select t.name || ' ' || s.team as name from comity_bus.senders s join comity_bus.topics t on t.id = s.topic_id`,
  )
  return new Set(rows.map((row) => row.name))
}
