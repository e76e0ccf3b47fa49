import type { ProvisionPlan } from 'comity/transport'

/** What a plan takes of a project's quotas. Source: https://cloud.google.com/pubsub/quotas */
export interface ObjectCount {
  readonly topics: number
  readonly subscriptions: number
  /** By team: topics and subscriptions of its own. */
  readonly teams: Readonly<Record<string, { readonly topics: number; readonly subscriptions: number }>>
  /** The part of the project's limit of 10,000 topics, and of 10,000 subscriptions, between 0 and 1 (or more: it does not fit). */
  readonly share: { readonly topics: number; readonly subscriptions: number }
  /** Most bytes a second that all topics together can take: 1 MB for each bucket. */
  readonly bytesPerSecond: number
  /** Whether it stays within these two limits. */
  readonly fits: boolean
}

const PER_PROJECT = 10_000
const BYTES_PER_BUCKET = 1_000_000

/**
 * Counts what a plan creates, for one team or for all: topics and subscriptions that are declared, and those of the system (see the README).
 * @param buckets of a topic whose plan names none; the transport's own option
 */
export function objectsOf(plan: ProvisionPlan, buckets: number = 32): ObjectCount {
  const teams: Record<string, { topics: number; subscriptions: number }> = {}
  const of = (team: string): { topics: number; subscriptions: number } => {
    teams[team] ??= { topics: 0, subscriptions: 0 }
    return teams[team]
  }
  for (const { team } of plan.topics) of(team).topics++
  for (const { team } of plan.subscriptions) of(team).subscriptions++
  const [topics, subscriptions] = [plan.topics.length, plan.subscriptions.length]
  return {
    topics,
    subscriptions,
    teams,
    share: { topics: topics / PER_PROJECT, subscriptions: subscriptions / PER_PROJECT },
    bytesPerSecond: plan.topics.reduce((sum, topic) => sum + (topic.buckets ?? buckets) * BYTES_PER_BUCKET, 0),
    fits: topics <= PER_PROJECT && subscriptions <= PER_PROJECT,
  }
}
