import { topicOf, topicsOf } from '@comity/contract'
import { contractsPublishedBy, type Declaration, inNamespace, subscriptionsOf } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { SYSTEM_BUCKETS, systemSubscriptions, systemTopics } from '../control/system-topics.ts'
import type { ProvisionPlan, ProvisionStep, SubscriptionPlan, TopicPlan } from '../transport/index.ts'

/** All broker objects of a team: the topics it publishes to, those it reads (their owners' too, so that the order of deploys does not matter), its subscriptions; and those of control. */
export function provisionPlan(declaration: Declaration, namespace: string): ProvisionPlan {
  const topics = new Map<string, TopicPlan>()
  const add = (name: string, owner: string, buckets?: number): void => {
    topics.set(name, {
      ...{ name: inNamespace(namespace, name), team: inNamespace(namespace, owner) },
      ...(buckets === undefined ? {} : { buckets }),
    })
  }
  for (const contract of contractsPublishedBy(declaration)) for (const topic of topicsOf(contract)) add(topic, contract.owner)
  const subscription = (name: string, topic: string): SubscriptionPlan => ({
    ...{ name: inNamespace(namespace, name), team: inNamespace(namespace, declaration.team), topic: inNamespace(namespace, topic) },
  })
  const subscriptions = subscriptionsOf(declaration).map(({ name, contract, audience }) => {
    const topic = topicOf(contract, audience)
    add(topic, contract.owner)
    return subscription(name, topic)
  })
  for (const { name, team } of systemTopics(declaration)) add(name, team, SYSTEM_BUCKETS)
  const control = systemSubscriptions(declaration).map(({ name, topic, sender }) => {
    add(topic, sender, SYSTEM_BUCKETS)
    return subscription(name, topic)
  })
  return { topics: [...topics.values()], subscriptions: [...subscriptions, ...control] }
}

/** Creates what is missing at the broker; with `dryRun` only says what it would create. */
export async function provision(
  declaration: Declaration,
  environment: Environment,
  options: { readonly dryRun?: boolean } = {},
): Promise<readonly ProvisionStep[]> {
  return environment.transport.provision(provisionPlan(declaration, environment.namespace), options)
}
