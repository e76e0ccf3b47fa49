import type { ProvisionPlan, ProvisionStep, SubscriptionPlan, TopicPlan } from 'comity/transport'
import { TopicUnknown } from 'comity/transport'
import type { Clients } from './clients.ts'
import { saysItExists, saysNotFound, translateServiceError } from './service-errors.ts'
import {
  bucketsOf,
  type Difference,
  type Settings,
  subscriptionDifferences,
  subscriptionPath,
  topicDifferences,
  topicPath,
  wantedSubscription,
  wantedTopic,
} from './settings.ts'

/** Calls at once: a project may make 6,000 administrative calls a minute. */
const AT_ONCE = 8
const needs = 'roles/pubsub.editor on the project'

export interface Provisioning {
  readonly clients: Clients
  readonly settings: Settings
  readonly plan: ProvisionPlan
  readonly dryRun: boolean
}

/**
 * Creates what is missing and brings what differs to the plan's settings. Everything is looked at before anything is changed, so a conflict
 * changes nothing; topics come before their subscriptions.
 */
export async function provisionObjects(given: Provisioning): Promise<readonly ProvisionStep[]> {
  const { plan, dryRun } = given
  const planned = new Set(plan.topics.map(({ name }) => name))
  const topics = await inParallel(plan.topics, (topic) => topicStep(given, topic))
  const subscriptions = await inParallel(plan.subscriptions, (subscription) => subscriptionStep(given, subscription, planned))
  if (!dryRun) {
    await inParallel(topics, async (step) => await step?.apply())
    await inParallel(subscriptions, async (step) => await step?.apply())
  }
  return [...topics, ...subscriptions].flatMap((step) => step?.said ?? [])
}

interface Step {
  readonly said: ProvisionStep
  readonly apply: () => Promise<void>
}

async function topicStep({ clients, settings }: Provisioning, plan: TopicPlan): Promise<Step | undefined> {
  const publisher = await clients.publisher()
  const { name } = plan
  const subject = { topic: name, needs }
  const wanted = wantedTopic(settings, plan)
  const is = await orNothing(publisher.getTopic({ topic: topicPath(settings, name) }), subject)
  if (is === undefined)
    return {
      said: { action: 'create-topic', name, detail: `${wanted.labels?.['comity-buckets']} buckets` },
      apply: () => creating(publisher.createTopic(wanted), subject),
    }
  const found = topicDifferences(is, settings, plan)
  if (found.length === 0) return undefined
  const topic = { ...wantedTopic(settings, { ...plan, buckets: bucketsOf(is) ?? plan.buckets ?? settings.buckets }) }
  topic.labels = { ...is.labels, ...topic.labels }
  return {
    said: { action: 'update-topic', name, detail: said(found) },
    apply: () => changing(publisher.updateTopic({ topic, updateMask: maskOf(found) }), subject),
  }
}

async function subscriptionStep(
  { clients, settings, dryRun }: Provisioning,
  plan: SubscriptionPlan,
  planned: ReadonlySet<string>,
): Promise<Step | undefined> {
  const subscriber = await clients.subscriber()
  const { name } = plan
  const subject = { subscription: name, needs }
  const wanted = wantedSubscription(settings, plan)
  const is = await orNothing(subscriber.getSubscription({ subscription: subscriptionPath(settings, name) }), subject)
  if (is === undefined) {
    if (!planned.has(plan.topic) && dryRun) await assertTopic(clients, settings, plan.topic)
    return {
      said: { action: 'create-subscription', name, detail: `on ${plan.topic}` },
      apply: () => creating(subscriber.createSubscription(wanted), { topic: plan.topic, needs }),
    }
  }
  const found = subscriptionDifferences(is, settings, plan)
  if (found.length === 0) return undefined
  const subscription = { ...wanted, labels: { ...is.labels, ...wanted.labels } }
  return {
    said: { action: 'update-subscription', name, detail: said(found) },
    apply: () => changing(subscriber.updateSubscription({ subscription, updateMask: maskOf(found) }), subject),
  }
}

async function assertTopic(clients: Clients, settings: Settings, name: string): Promise<void> {
  const publisher = await clients.publisher()
  const is = await orNothing(publisher.getTopic({ topic: topicPath(settings, name) }), { topic: name, needs })
  if (is === undefined) throw new TopicUnknown({ topic: name })
}

type Subject = Parameters<typeof translateServiceError>[1]

async function orNothing<T>(call: Promise<[T, ...unknown[]]>, subject: Subject): Promise<T | undefined> {
  try {
    return (await call)[0]
  } catch (error) {
    if (saysNotFound(error)) return undefined
    throw translateServiceError(error, subject)
  }
}
async function creating(call: Promise<unknown>, subject: Subject): Promise<void> {
  try {
    await call
  } catch (error) {
    // Two who provision at once, or a request that was answered to nobody.
    if (!saysItExists(error)) throw translateServiceError(error, subject)
  }
}
async function changing(call: Promise<unknown>, subject: Subject): Promise<void> {
  try {
    await call
  } catch (error) {
    throw translateServiceError(error, subject)
  }
}

const said = (found: readonly Difference[]): string => found.map(({ detail }) => detail).join('; ')
const maskOf = (found: readonly Difference[]): { paths: string[] } => ({ paths: found.map(({ field }) => field) })

async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index] as T)
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker))
  return results
}
