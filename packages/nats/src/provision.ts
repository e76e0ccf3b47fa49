import { randomUUID } from 'node:crypto'
import {
  ProvisionConflict,
  type ProvisionPlan,
  type ProvisionStep,
  type SubscriptionPlan,
  type TopicPlan,
  TopicUnknown,
} from 'comity/transport'
import { type ApiAnswer, type Connection, refusal } from './connection.ts'
import { newTable, restarted } from './lease-table.ts'
import { fromToken, storeOf, streamOf, teamOf } from './names.ts'
import { Subscription } from './subscriptions.ts'
import {
  descriptionOf,
  findStream,
  inWords,
  NO_STREAM,
  refuseLossy,
  type StreamInfo,
  shortfall,
  streamConfig,
  type TopicStream,
  topicStream,
} from './topic-stream.ts'

export interface ProvisionSettings {
  /** Of a topic whose plan names none. */
  readonly buckets: number
  /** How long messages stay, acknowledged or not, in milliseconds. */
  readonly retention: number
  /** Copies of each stream in a cluster. */
  readonly replicas: number
  readonly allowUnsafe: boolean
  readonly dryRun: boolean
}

const SUBJECTS_OVERLAP = 10065
const NAME_IN_USE = 10058

/** Creates what the plan names and does not exist, and mends what exists: a stream's retention only ever grows here. */
export async function provision(
  connection: Connection,
  plan: ProvisionPlan,
  settings: ProvisionSettings,
): Promise<readonly ProvisionStep[]> {
  const steps: ProvisionStep[] = []
  if (!settings.dryRun) {
    const teams = new Set([
      ...[...plan.topics, ...plan.subscriptions].map(({ team }) => team),
      ...plan.topics.flatMap(({ senders = [] }) => senders),
    ])
    for (const team of teams) await makeStore(connection, team, settings.replicas)
  }
  for (const topic of plan.topics) {
    const step = await provisionTopic(connection, topic, settings)
    if (step) steps.push(step)
  }
  for (const subscription of plan.subscriptions) {
    const step = await provisionSubscription(connection, subscription, plan, settings)
    if (step) steps.push(step)
  }
  return steps
}

async function provisionTopic(connection: Connection, plan: TopicPlan, settings: ProvisionSettings): Promise<ProvisionStep | undefined> {
  const { name, team, buckets = settings.buckets, senders = [] } = plan
  const wanted = streamConfig({ name, team, buckets, senders }, settings)
  const found = await findStream(connection, name)
  if (found === undefined) {
    if (!settings.dryRun) {
      const verb = `STREAM.CREATE.${wanted.name}`
      // The broker's deduplication is not used: its window is as short as may be.
      const answer = await connection.ask<StreamInfo>(verb, { ...wanted, duplicate_window: 100_000_000 })
      if (answer.error?.err_code === SUBJECTS_OVERLAP)
        throw new ProvisionConflict({ conflict: `another stream of the server listens to subjects of topic ${name} (comity.topic.…)` })
      // Another process may have made the same a moment ago.
      if (answer.error && answer.error.err_code !== NAME_IN_USE) throw refusal(answer.error, verb)
    }
    return {
      action: 'create-topic',
      name,
      detail: `${buckets} buckets, retention ${inWords(settings.retention)}, ${replicasInWords(settings.replicas)}`,
    }
  }
  if (found.team !== team || found.buckets !== (plan.buckets ?? found.buckets))
    throw new ProvisionConflict({ conflict: `topic ${name} exists with team ${found.team} and ${found.buckets} buckets` })
  refuseLossy(found, settings.allowUnsafe)
  const detail = await mend(connection, found, settings, senders)
  return detail === undefined ? undefined : { action: 'update-topic', name, detail }
}

/** Says in words what was (or would be) changed; undefined if nothing. */
async function mend(
  connection: Connection,
  { config, ...found }: TopicStream,
  settings: ProvisionSettings,
  senders: readonly string[],
): Promise<string | undefined> {
  const changes: string[] = []
  let changed = { ...config }
  const added = senders.filter((sender) => !found.senders.includes(sender))
  if (added.length > 0) {
    changes.push(`senders + ${added.join(', ')}`)
    changed = { ...changed, description: descriptionOf({ ...found, name: found.topic, senders: [...found.senders, ...added] }) }
  }
  for (let short = shortfall(changed, settings.retention); short !== undefined; short = shortfall(changed, settings.retention)) {
    changes.push(short)
    const [setting] = short.split(' ')
    changed = setting === 'retention' ? { ...changed, max_age: settings.retention * 1e6 } : { ...changed, [setting as string]: -1 }
  }
  if (config.num_replicas < settings.replicas) {
    changes.push(`${replicasInWords(config.num_replicas)} → ${replicasInWords(settings.replicas)}`)
    changed = { ...changed, num_replicas: settings.replicas }
  }
  if (!config.allow_direct) {
    changes.push('direct reads allowed')
    changed = { ...changed, allow_direct: true }
  }
  if (changes.length === 0) return undefined
  if (!settings.dryRun) await connection.demand(`STREAM.UPDATE.${config.name}`, changed)
  return changes.join(', ')
}

async function provisionSubscription(
  connection: Connection,
  plan: SubscriptionPlan,
  { topics }: ProvisionPlan,
  { dryRun }: ProvisionSettings,
): Promise<ProvisionStep | undefined> {
  const { name, team, topic } = plan
  if (teamOf(name) !== team)
    throw new ProvisionConflict({ conflict: `subscription ${name} does not begin with the name of its team, ${team}` })
  const subscription = new Subscription(connection, name)
  const found = await subscription.find()
  if (found === undefined) {
    if (dryRun) {
      if (!topics.some((each) => each.name === topic) && (await findStream(connection, topic)) === undefined)
        throw new TopicUnknown({ topic })
    } else {
      const stream = await topicStream(connection, topic)
      await subscription.create(newTable(randomUUID(), stream, stream.lastSequence))
    }
    return { action: 'create-subscription', name }
  }
  if (found.value.topic !== topic) throw new ProvisionConflict({ conflict: `subscription ${name} exists with topic ${found.value.topic}` })
  const stream = await findStream(connection, topic)
  if (stream === undefined || stream.created === found.value.created) return undefined
  if (!dryRun) await subscription.change((table) => restarted(table, stream.created, stream.buckets))
  return { action: 'update-subscription', name, detail: 'its topic was made anew: from the beginning' }
}

/** A bucket as `nats kv` knows it. Its keys are few and small: it is never trimmed. */
async function makeStore(connection: Connection, team: string, replicas: number): Promise<void> {
  const name = `KV_${storeOf(team)}`
  const config = {
    name,
    subjects: [`$KV.${storeOf(team)}.>`],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_msgs_per_subject: 1,
    num_replicas: replicas,
    allow_rollup_hdrs: true,
    allow_direct: true,
    deny_delete: true,
    duplicate_window: 100_000_000,
  }
  const found = await connection.ask<StreamInfo>(`STREAM.INFO.${name}`)
  if (found.error?.err_code === NO_STREAM) {
    const answer = await connection.ask(`STREAM.CREATE.${name}`, config)
    if (answer.error && answer.error.err_code !== NAME_IN_USE) throw refusal(answer.error, name)
    return
  }
  if (found.error) throw refusal(found.error, name)
  if (found.config.num_replicas < replicas) await connection.demand(`STREAM.UPDATE.${name}`, { ...found.config, num_replicas: replicas })
}

/** Subscriptions go first: one without its topic would be an error to whoever receives it. */
export async function remove(
  connection: Connection,
  { topics = [], subscriptions = [] }: { readonly topics?: readonly string[]; readonly subscriptions?: readonly string[] },
): Promise<void> {
  for (const name of subscriptions) await new Subscription(connection, name).remove()
  for (const name of topics.length > 0 ? await subscriptionsOf(connection, topics) : []) await new Subscription(connection, name).remove()
  for (const topic of topics) {
    const verb = `STREAM.DELETE.${streamOf(topic)}`
    const answer: ApiAnswer<object> = await connection.ask(verb)
    if (answer.error && answer.error.err_code !== NO_STREAM) throw refusal(answer.error, verb)
  }
}

async function subscriptionsOf(connection: Connection, topics: readonly string[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const stream of await streamNames(connection)) {
    if (!stream.startsWith('KV_comity-')) continue
    const keys = `$KV.${stream.slice('KV_'.length)}.subscriptions.`
    const { state } = await connection.demand<StreamInfo>(`STREAM.INFO.${stream}`, { subjects_filter: `${keys}>` })
    for (const subject of Object.keys(state.subjects ?? {})) {
      const subscription = new Subscription(connection, fromToken(subject.slice(keys.length)))
      const table = await subscription.find()
      if (table && topics.includes(table.value.topic)) found.push(subscription.name)
    }
  }
  return found
}

async function streamNames(connection: Connection): Promise<readonly string[]> {
  const names: string[] = []
  for (;;) {
    const page = await connection.demand<{ readonly total: number; readonly streams?: readonly string[] }>('STREAM.NAMES', {
      offset: names.length,
    })
    names.push(...(page.streams ?? []))
    if (!page.streams?.length || names.length >= page.total) return names
  }
}

const replicasInWords = (count: number): string => (count === 1 ? '1 replica' : `${count} replicas`)
