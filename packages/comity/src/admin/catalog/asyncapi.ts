import type { JsonSchema } from '@comity/contract'
import { topicOf } from '@comity/contract'
import type { Catalog } from './catalog.ts'
import { cloudEventAttributes, type DescribedContract, describedOf, messageKinds, payloadSchema } from './cloud-event.ts'
import { schemaElsewhere } from './schema-elsewhere.ts'

export type AsyncApiDocument = Readonly<Record<string, unknown>>

interface Parts {
  readonly channels: Record<string, unknown>
  readonly operations: Record<string, unknown>
  readonly messages: Record<string, unknown>
  readonly schemas: Record<string, JsonSchema>
}

/**
 * The map as AsyncAPI 3.0: a channel for each topic, a message for each thing that is said there, and an operation for each team that sends or
 * receives it, tagged by the team. Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
 * @param namespace the prefix of the topics, as their broker names them
 */
export function asyncApi(catalog: Catalog, namespace: string): AsyncApiDocument {
  const parts: Parts = { channels: {}, operations: {}, messages: {}, schemas: {} }
  for (const contract of describedOf(catalog.contracts)) {
    const audiences = Object.keys(contract.description.audiences)
    for (const audience of audiences.length === 0 ? [undefined] : audiences) addTopic(parts, contract, audience, namespace)
  }
  const teams = catalog.teams.map(({ team, contact }) => ({
    name: team,
    ...(contact === null ? {} : { description: `Contact: ${contact}` }),
  }))
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Comity',
      version: '1.0.0',
      description: `What teams own, publish, keep and handle, as ${catalog.seenBy} knows it. Messages are CloudEvents 1.0 in binary mode.`,
      tags: teams,
    },
    defaultContentType: 'application/json',
    channels: parts.channels,
    operations: parts.operations,
    components: { messages: parts.messages, schemas: parts.schemas },
  }
}

function addTopic(
  { channels, operations, messages, schemas }: Parts,
  contract: DescribedContract,
  audience: string | undefined,
  namespace: string,
): void {
  const topic = topicOf(contract.description, audience)
  const at = (name: string): string => `#/components/schemas/${name}`
  Object.assign(schemas, schemaElsewhere(topic, payloadSchema(contract.description, audience), at))
  const kinds = messageKinds(contract.description.contractKind)
  const said = [
    { name: topic, kinds: kinds.filter((kind) => kind !== 'deleted'), payload: { $ref: at(topic) } as JsonSchema },
    // A deletion has no data.
    ...(kinds.includes('deleted')
      ? [{ name: `${topic}.deleted`, kinds: ['deleted'], payload: { type: 'string', maxLength: 0 } as JsonSchema }]
      : []),
  ]
  for (const { name, kinds: some, payload } of said) {
    const attributes = cloudEventAttributes(contract, some, 'ce-')
    const headers = {
      type: 'object',
      properties: { ...attributes, 'content-type': { const: 'application/json' } },
      required: Object.keys(attributes),
    }
    messages[name] = { name, title: `${contract.name}: ${some.join(', ')}`, headers, payload }
  }
  channels[topic] = {
    address: namespace === '' ? topic : `${namespace}.${topic}`,
    description: `${contract.description.contractKind} of the team ${contract.owner}${contract.contact === null ? '' : `; contact: ${contract.contact}`}`,
    messages: Object.fromEntries(said.map(({ name }) => [name, { $ref: `#/components/messages/${name}` }])),
  }
  const operation = (team: string, action: 'send' | 'receive', summary: string): Readonly<Record<string, unknown>> => ({
    ...{ action, channel: { $ref: `#/channels/${topic}` }, summary, tags: [{ name: team }] },
    messages: said.map(({ name }) => ({ $ref: `#/channels/${topic}/messages/${name}` })),
  })
  // Who asks sends, and who answers receives; of everything else the owner sends.
  const asked = contract.description.contractKind === ('request' as string)
  operations[`${contract.owner}.${asked ? 'answers' : 'sends'}.${topic}`] = operation(
    contract.owner,
    asked ? 'receive' : 'send',
    `${contract.owner} ${asked ? 'answers' : 'publishes'} ${contract.name}`,
  )
  for (const { team, how, subscription, table, holds, audience: granted } of contract.uses) {
    if ((granted ?? undefined) !== audience) continue
    const fields = how === 'keeps' ? ` ${holds.map(({ field }) => field).join(', ')} in ${table ?? 'a table'}` : ` ${contract.name}`
    operations[`${subscription ?? team}.${how}.${topic}`] = operation(team, how === 'asks' ? 'send' : 'receive', `${team} ${how}${fields}`)
  }
}
