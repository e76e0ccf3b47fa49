import type { protos } from '@google-cloud/pubsub'
import { ProvisionConflict, type SubscriptionPlan, type TopicPlan } from 'comity/transport'
import { SubscriptionUnsafe } from './errors.ts'
import { objectId } from './object-names.ts'

type TopicResource = protos.google.pubsub.v1.ITopic
type SubscriptionResource = protos.google.pubsub.v1.ISubscription
type ServiceDuration = protos.google.protobuf.IDuration | null | undefined

/** What `provision` gives every topic and subscription, and what `receive` insists on. Times are in seconds. */
export interface Settings {
  readonly project: string
  readonly prefix: string
  readonly buckets: number
  readonly retention: number
  /** 0 = a topic keeps nothing for subscriptions that come later. */
  readonly topicRetention: number
  readonly ackDeadline: number
  readonly labels: Readonly<Record<string, string>>
}

/** One setting that differs: what it is for people, the field to write, and the words of gcloud that set it. */
export interface Difference {
  readonly detail: string
  readonly field: string
  readonly flag: string
}

export const topicPath = ({ project, prefix }: Settings, name: string): string => `projects/${project}/topics/${objectId(name, prefix)}`
export const subscriptionPath = ({ project, prefix }: Settings, name: string): string =>
  `projects/${project}/subscriptions/${objectId(name, prefix)}`

/** The ordering keys of a topic; the sender reads it there, so that all senders agree. */
export const BUCKETS_LABEL = 'comity-buckets'

export function labelsOf(settings: Settings, team: string): Record<string, string> {
  return { ...settings.labels, 'managed-by': 'comity', ...ownerLabels(team) }
}
/** A label's value has no dots: a team of a namespace, `staging.crm`, has a label for each part. */
function ownerLabels(team: string): Record<string, string> {
  const dot = team.lastIndexOf('.')
  return { team: team.slice(dot + 1), ...(dot < 0 ? {} : { namespace: team.slice(0, dot).replaceAll('.', '_') }) }
}
/** Whose it is by its labels, if it is not this team's; undefined = it is, or its labels do not say. */
function otherOwner(labels: Labels, team: string): string | undefined {
  const owner = labels?.team
  const { team: own, namespace } = ownerLabels(team)
  if (owner === undefined || (owner === own && labels?.namespace === namespace)) return undefined
  return [labels?.namespace, owner].filter(Boolean).join('.')
}
type Labels = Readonly<Record<string, string>> | null | undefined
export function wantedTopic(settings: Settings, plan: TopicPlan): TopicResource {
  return {
    name: topicPath(settings, plan.name),
    labels: { ...labelsOf(settings, plan.team), [BUCKETS_LABEL]: String(plan.buckets ?? settings.buckets) },
    ...(settings.topicRetention > 0 ? { messageRetentionDuration: { seconds: settings.topicRetention } } : {}),
  }
}
export function wantedSubscription(settings: Settings, plan: SubscriptionPlan): SubscriptionResource {
  return {
    name: subscriptionPath(settings, plan.name),
    topic: topicPath(settings, plan.topic),
    labels: labelsOf(settings, plan.team),
    enableMessageOrdering: true,
    ackDeadlineSeconds: settings.ackDeadline,
    retainAckedMessages: true,
    messageRetentionDuration: { seconds: settings.retention },
    expirationPolicy: {}, // without a time to live: never
  }
}

/** The topic's bucket count as its label has it; undefined if somebody else made it. */
export function bucketsOf(topic: TopicResource): number | undefined {
  const count = Number(topic.labels?.[BUCKETS_LABEL])
  return Number.isInteger(count) && count > 0 ? count : undefined
}

export function topicDifferences(is: TopicResource, settings: Settings, plan: TopicPlan): readonly Difference[] {
  const buckets = bucketsOf(is)
  const owner = otherOwner(is.labels, plan.team)
  if (owner !== undefined) throw new ProvisionConflict({ conflict: `topic ${plan.name} exists and belongs to team ${owner}` })
  if (buckets !== undefined && plan.buckets !== undefined && buckets !== plan.buckets)
    throw new ProvisionConflict({
      conflict: `topic ${plan.name} exists with ${buckets} buckets; other ones would break the order of its keys`,
    })
  const wanted = wantedTopic(settings, { ...plan, buckets: buckets ?? plan.buckets ?? settings.buckets })
  const found = labelDifference(is.labels, wanted.labels)
  const retention = seconds(is.messageRetentionDuration)
  if (retention !== settings.topicRetention)
    found.push({
      detail: `retention ${days(retention)} → ${days(settings.topicRetention)}`,
      field: 'message_retention_duration',
      flag: `--message-retention-duration=${settings.topicRetention}s`,
    })
  return found
}

/** What differs and can be changed. Throws COMITY_PROVISION_CONFLICT for what cannot. */
export function subscriptionDifferences(is: SubscriptionResource, settings: Settings, plan: SubscriptionPlan): readonly Difference[] {
  const owner = otherOwner(is.labels, plan.team)
  const topic = topicPath(settings, plan.topic)
  if (owner !== undefined) throw new ProvisionConflict({ conflict: `subscription ${plan.name} exists and belongs to team ${owner}` })
  if (is.topic !== topic) throw new ProvisionConflict({ conflict: `subscription ${plan.name} exists on ${is.topic}, and not on ${topic}` })
  const [fixed] = fixedProblems(is)
  if (fixed !== undefined) {
    const remedy = `if what waits in it may be lost: gcloud pubsub subscriptions delete ${idOf(is)} --project=${settings.project}, then provision again`
    throw new ProvisionConflict({ conflict: `subscription ${plan.name} ${fixed}, and Pub/Sub can never change that; ${remedy}` })
  }
  const found = [...changeableProblems(is, settings), ...labelDifference(is.labels, labelsOf(settings, plan.team))]
  if (is.ackDeadlineSeconds !== settings.ackDeadline)
    found.push({
      detail: `ack deadline ${is.ackDeadlineSeconds} s → ${settings.ackDeadline} s`,
      field: 'ack_deadline_seconds',
      flag: `--ack-deadline=${settings.ackDeadline}`,
    })
  const retention = seconds(is.messageRetentionDuration)
  if (retention > settings.retention)
    found.push({ ...retentionTo(settings), detail: `retention ${days(retention)} → ${days(settings.retention)}` })
  return found
}

/** Throws COMITY_PUBSUB_SUBSCRIPTION_UNSAFE where messages could be lost, or come out of order, without a word. */
export function assertSafe(is: SubscriptionResource, settings: Settings, name: string): void {
  const project = `--project=${settings.project}`
  const [fixed] = fixedProblems(is)
  if (fixed !== undefined) {
    const command = `gcloud pubsub subscriptions delete ${idOf(is)} ${project}, and then provision; what waits in it is lost, a backfill brings it back`
    throw new SubscriptionUnsafe({ subscription: name, problem: `it ${fixed}`, command })
  }
  const found = changeableProblems(is, settings)
  if (found.length === 0) return
  throw new SubscriptionUnsafe({
    subscription: name,
    problem: found.map(({ detail }) => detail).join('; '),
    command: `gcloud pubsub subscriptions update ${idOf(is)} ${project} ${found.map(({ flag }) => flag).join(' ')}`,
  })
}

/** What Pub/Sub fixes for ever when a subscription is made. */
function fixedProblems(is: SubscriptionResource): readonly string[] {
  return [
    ...(is.enableMessageOrdering ? [] : ['does not keep the order of messages']),
    ...(is.filter ? [`has the filter ${is.filter}, which drops messages silently`] : []),
    ...(is.detached ? ['is detached from its topic'] : []),
  ]
}

function changeableProblems(is: SubscriptionResource, settings: Settings): Difference[] {
  const found: Difference[] = []
  const retention = seconds(is.messageRetentionDuration)
  if (retention < settings.retention)
    found.push({ ...retentionTo(settings), detail: `retention ${days(retention)} → ${days(settings.retention)}` })
  if (!is.retainAckedMessages)
    found.push({
      detail: 'acknowledged messages are kept for replays: no → yes',
      field: 'retain_acked_messages',
      flag: '--retain-acked-messages',
    })
  // No policy at all means 31 days.
  const ttl = is.expirationPolicy === null || is.expirationPolicy === undefined ? 31 * 86_400 : seconds(is.expirationPolicy.ttl)
  if (ttl > 0)
    found.push({
      detail: `is deleted after ${days(ttl)} without a receiver → never`,
      field: 'expiration_policy',
      flag: '--expiration-period=never',
    })
  if (is.deadLetterPolicy?.deadLetterTopic)
    found.push({
      detail: 'its own dead-letter topic, which takes messages out of their order → none',
      field: 'dead_letter_policy',
      flag: '--clear-dead-letter-policy',
    })
  if (is.enableExactlyOnceDelivery)
    found.push({
      detail: 'exactly-once delivery, which makes acknowledgements expire, → off: the inbox does it',
      field: 'enable_exactly_once_delivery',
      flag: '--no-enable-exactly-once-delivery',
    })
  if (is.pushConfig?.pushEndpoint) found.push({ detail: 'push → pull', field: 'push_config', flag: '--push-endpoint=' })
  return found
}

const retentionTo = (settings: Settings): Omit<Difference, 'detail'> => ({
  field: 'message_retention_duration',
  flag: `--message-retention-duration=${settings.retention}s`,
})

function labelDifference(is: Labels, wanted: TopicResource['labels']): Difference[] {
  const missing = Object.entries(wanted ?? {}).filter(([name, value]) => is?.[name] !== value)
  if (missing.length === 0) return []
  const pairs = missing.map(([name, value]) => `${name}=${value}`).join(',')
  return [{ detail: `labels ${pairs}`, field: 'labels', flag: `--update-labels=${pairs}` }]
}

function seconds(duration: ServiceDuration): number {
  return Number(duration?.seconds ?? 0)
}
function days(given: number): string {
  return given % 86_400 === 0 ? `${given / 86_400} d` : `${given} s`
}
function idOf(is: SubscriptionResource): string {
  return String(is.name).slice(String(is.name).lastIndexOf('/') + 1)
}
