import { type ContractDescription, topicOf, topicsOf } from '@comity/contract'
import { contractsPublishedBy, type Declaration, inNamespace, subscriptionsOf } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { CATALOG_TEAM, CATALOG_TOPIC, catalogSubscription } from '../control/catalog-topic.ts'
import { copyingSubscriptions, copyingTopics } from '../control/copying-topics.ts'
import { erasureSubscriptions, erasureTopics } from '../control/erasure-topics.ts'
import { outcomeSubscriptions, requestTopics } from '../control/request-topics.ts'
import { SYSTEM_BUCKETS, systemSubscriptions, systemTopics } from '../control/system-topics.ts'
import type { ProvisionPlan, ProvisionStep, SubscriptionPlan, TopicPlan } from '../transport/index.ts'
import { NoAccessForm } from './errors.ts'

/** All broker objects of a team: the topics it publishes to, those it reads (their owners' too, so that the order of deploys does not matter), its subscriptions; and those of control. */
export function provisionPlan(declaration: Declaration, namespace: string): ProvisionPlan {
  const topics = new Map<string, TopicPlan>()
  const add = (name: string, owner: string, buckets?: number, senders: readonly string[] = []): void => {
    topics.set(name, {
      ...{ name: inNamespace(namespace, name), team: inNamespace(namespace, owner) },
      ...(senders.length === 0 ? {} : { senders: senders.map((sender) => inNamespace(namespace, sender)) }),
      ...(buckets === undefined ? {} : { buckets }),
      ...(owner === CATALOG_TEAM ? { shared: true } : {}),
    })
  }
  // At the broker a topic stays with the team that had it first; whoever owns it since may send beside.
  const addOwned = (topic: string, { owner, former = [] }: Pick<ContractDescription, 'owner' | 'former'>): void =>
    add(topic, former[0] ?? owner, undefined, former.length === 0 ? [] : [owner])
  for (const contract of contractsPublishedBy(declaration)) for (const topic of topicsOf(contract)) addOwned(topic, contract)
  const subscription = (name: string, topic: string): SubscriptionPlan => ({
    ...{ name: inNamespace(namespace, name), team: inNamespace(namespace, declaration.team), topic: inNamespace(namespace, topic) },
  })
  const subscriptions = subscriptionsOf(declaration).map(({ name, contract, audience }) => {
    const topic = topicOf(contract, audience)
    addOwned(topic, contract)
    return subscription(name, topic)
  })
  for (const { name, team } of systemTopics(declaration)) add(name, team, SYSTEM_BUCKETS)
  const control = systemSubscriptions(declaration).map(({ name, topic, sender }) => {
    add(topic, sender, SYSTEM_BUCKETS)
    return subscription(name, topic)
  })
  // What is asked has as many buckets as what is published; what became of it is said in order.
  for (const { name, team, senders } of requestTopics(declaration))
    add(name, team, senders === undefined ? SYSTEM_BUCKETS : undefined, senders)
  for (const { name, team, senders } of [...copyingTopics(declaration), ...erasureTopics(declaration)])
    add(name, team, SYSTEM_BUCKETS, senders)
  add(CATALOG_TOPIC, CATALOG_TEAM, SYSTEM_BUCKETS, [declaration.team])
  const copying = [...copyingSubscriptions(declaration), ...erasureSubscriptions(declaration), ...outcomeSubscriptions(declaration)].map(
    ({ name, topic }) => subscription(name, topic),
  )
  return {
    topics: [...topics.values()],
    subscriptions: [...subscriptions, ...control, ...copying, subscription(catalogSubscription(declaration.team), CATALOG_TOPIC)],
  }
}

/** Creates what is missing at the broker; with `dryRun` only says what it would create. */
export async function provision(
  declaration: Declaration,
  environment: Environment,
  options: { readonly dryRun?: boolean } = {},
): Promise<readonly ProvisionStep[]> {
  return environment.transport.provision(provisionPlan(declaration, environment.namespace), options)
}

/** Whose rights {@link brokerAccess} writes down. */
export interface Member {
  readonly declaration: Declaration
  readonly environment: Environment
}
export interface BrokerAccess {
  readonly transport: string
  readonly teams: readonly string[]
  /** For whoever administers the broker, in the form that was asked for. */
  readonly text: string
}

/**
 * Each team's least rights at its broker. Teams of one broker are written down together, so that nothing is there twice.
 * Throws COMITY_NO_ACCESS_FORM where the broker's rights are not written down in this form.
 */
export async function brokerAccess(members: readonly Member[], form?: string): Promise<readonly BrokerAccess[]> {
  const groups = new Map<string, Member[]>()
  for (const member of members) {
    const { name } = member.environment.transport
    groups.set(name, [...(groups.get(name) ?? []), member])
  }
  return Promise.all(
    [...groups].map(async ([name, group]) => {
      const { transport } = (group[0] as Member).environment
      const forms = transport.guarantees.access
      if (transport.access === undefined || (form !== undefined && !forms.includes(form)))
        throw new NoAccessForm({
          transport: name,
          form: form ?? 'any',
          forms: forms.length === 0 ? 'it has none' : `it has ${forms.join(', ')}`,
        })
      const plans = group.map(({ declaration, environment }) => provisionPlan(declaration, environment.namespace))
      const plan = {
        topics: topicsOnce(plans.flatMap(({ topics }) => topics)),
        subscriptions: [...new Map(plans.flatMap(({ subscriptions }) => subscriptions).map((part) => [part.name, part])).values()],
      }
      return { transport: name, teams: group.map(({ declaration }) => declaration.team), text: await transport.access(plan, form) }
    }),
  )
}

/** A topic that several teams know has the senders that each of them names. */
function topicsOnce(topics: readonly TopicPlan[]): readonly TopicPlan[] {
  const once = new Map<string, TopicPlan>()
  for (const topic of topics) {
    const senders = [...new Set([...(once.get(topic.name)?.senders ?? []), ...(topic.senders ?? [])])]
    once.set(topic.name, senders.length === 0 ? topic : { ...topic, senders })
  }
  return [...once.values()]
}
