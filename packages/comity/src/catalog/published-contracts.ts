import { type ContractDescription, topicOf } from '@comity/contract'
import { judgeOf } from '../outbox/judge.ts'
import { REGISTRATION_MARK } from '../outbox/registration-mark.ts'
import type { Queryable } from '../postgres/database.ts'
import type { PublishedContracts } from '../relay/delivery.ts'
import type { Route } from '../relay/outgoing-message.ts'
import { picker } from '../schema/index.ts'
import { inNamespace } from './declaration.ts'

/* What is asked goes the same way, to the owner's topic. */
const CONTRACTS = `
  select ${REGISTRATION_MARK} as mark, coalesce(json_agg(r.description), '[]')::text as descriptions
  from (select description from comity.contracts union all select description from comity.asks) r`

/**
 * What a team publishes, as its database has it: in a rolling deploy an older process relays what a newer one has registered.
 */
export async function publishedContracts(database: Queryable, namespace: string): Promise<PublishedContracts> {
  const { rows } = await database.query<{ mark: string; descriptions: string }>(CONTRACTS)
  const { mark, descriptions } = rows[0] as (typeof rows)[number]
  const contracts = JSON.parse(descriptions) as readonly ContractDescription[]
  const routes = new Map(contracts.map((contract) => [contract.name, routesOf(contract, namespace)]))
  const judges = new Map(contracts.map((contract) => [contract.name, judgeOf(contract)]))
  return {
    registrationMark: mark,
    routesOf: (contract) => routes.get(contract),
    judge: (row) => judges.get(row.topic)?.(row),
  }
}

/** One topic, or one for each audience with the fields that it was granted. */
function routesOf(contract: ContractDescription, namespace: string): readonly Route[] {
  const audiences = Object.entries(contract.audiences)
  if (audiences.length === 0) return [{ topic: inNamespace(namespace, topicOf(contract)) }]
  return audiences.map(([audience, fields]) => {
    const pick = picker(contract, fields)
    return {
      topic: inNamespace(namespace, topicOf(contract, audience)),
      project: (payload) => JSON.stringify(pick(JSON.parse(payload))),
    }
  })
}
