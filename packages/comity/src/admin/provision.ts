import { topicOf, topicsOf } from '@comity/contract'
import { contractsPublishedBy, type Declaration, inNamespace, subscriptionsOf } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import type { ProvisionPlan, ProvisionStep } from '../transport/index.ts'

/** All broker objects of a team: the topics it publishes to, those it reads (their owners' too, so that the order of deploys does not matter), its subscriptions. */
export function provisionPlan(declaration: Declaration, namespace: string): ProvisionPlan {
  const topics = new Map<string, { name: string; team: string }>()
  const add = (name: string, owner: string): void => {
    topics.set(name, { name: inNamespace(namespace, name), team: inNamespace(namespace, owner) })
  }
  for (const contract of contractsPublishedBy(declaration)) for (const topic of topicsOf(contract)) add(topic, contract.owner)
  const subscriptions = subscriptionsOf(declaration).map(({ name, contract, audience }) => {
    const topic = topicOf(contract, audience)
    add(topic, contract.owner)
    return { name: inNamespace(namespace, name), team: inNamespace(namespace, declaration.team), topic: inNamespace(namespace, topic) }
  })
  return { topics: [...topics.values()], subscriptions }
}

/** Creates what is missing at the broker; with `dryRun` only says what it would create. */
export async function provision(
  declaration: Declaration,
  environment: Environment,
  options: { readonly dryRun?: boolean } = {},
): Promise<readonly ProvisionStep[]> {
  return environment.transport.provision(provisionPlan(declaration, environment.namespace), options)
}
