/** What is said about one copy: who is believed, what comes again, and that nothing stops what follows it. */
import { entity } from '@comity/contract'
import { memoryBus, team } from 'comity'
import { provisionPlan } from 'comity/admin'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { type CopyingContract, copyingHeard, type Heard, sayAboutCopy } from '../../src/control/copying-channel.ts'
import { copyingSubscriptions, copyingTopic, copyTopic } from '../../src/control/copying-topics.ts'
import type { DeliveryResult } from '../../src/transport/transport.ts'

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string() }) })
const Asked: CopyingContract = {
  type: 'comity.test-asked',
  schema: { type: 'object', properties: { v: { type: 'integer' }, n: { type: 'integer' } }, required: ['v', 'n'] },
}
const crm = team('crm').owns(Customer).declaration
const marketing = team('marketing').keeps(Customer, { fields: ['email'] }).declaration

const ending = new AbortController()
const bus = memoryBus()
const transport = bus.connect()
afterEach(() => ending.abort())

test('only what the named team says about its own copy is heard, in order; what fails comes again before what follows', async () => {
  for (const declaration of [marketing, crm, team('sales').keeps(Customer, { fields: ['email'] }).declaration])
    await transport.provision(provisionPlan(declaration, ''))
  expect(await transport.provision(provisionPlan(marketing, ''))).toEqual([])
  expect(provisionPlan(marketing, 'staging').topics).toContainEqual({
    ...{ name: 'staging.comity.crm.copying', team: 'staging.crm', buckets: 1, senders: ['staging.marketing'] },
  })
  expect(copyTopic('marketing.crm-customer')).toBe('comity.marketing.copy-crm-customer')

  const heard: Heard<{ n: number }>[] = []
  let failures = 2
  const [subscription] = copyingSubscriptions(crm)
  const receiving = transport.receive(
    subscription?.name ?? '',
    copyingHeard({
      sender: undefined,
      handlers: [
        {
          contract: Asked,
          async handle(messages: readonly Heard<{ n: number }>[]): Promise<readonly DeliveryResult[]> {
            const fails = messages.findIndex(({ data }) => data.n === 3)
            const taken = fails >= 0 && failures-- > 0 ? messages.slice(0, fails) : messages
            heard.push(...taken)
            return messages.map((_, i) => (i < taken.length ? 'ack' : 'later'))
          },
        },
      ],
    }),
    { signal: ending.signal },
  )
  const say = (from: string, replica: string, n: unknown, v = 1) =>
    sayAboutCopy({ team: from, transport, topicNamed: (name) => name }, copyingTopic('crm'), [{ contract: Asked, replica, data: { v, n } }])
  await say('marketing', 'marketing.crm-customer', 1)
  await say('marketing', 'sales.crm-customer', 90)
  await say('marketing', 'marketing.crm-customer', 'not a number')
  await say('marketing', 'marketing.crm-customer', 91, 2)
  await sayAboutCopy({ team: 'marketing', transport, topicNamed: (name) => name }, copyingTopic('crm'), [
    { contract: { ...Asked, type: 'comity.unheard-of' }, replica: 'marketing.crm-customer', data: { v: 1, n: 92 } },
  ])
  for (const n of [2, 3, 4]) await say('marketing', 'marketing.crm-customer', n)
  await say('sales', 'sales.crm-customer', 5)
  await expect
    .poll(() => heard.map(({ data, from }) => [from, data.n]))
    .toEqual([...[1, 2, 3, 4].map((n) => ['marketing', n]), ['sales', 5]])
  expect(await transport.stats([subscription?.name ?? ''])).toMatchObject([{ backlog: 0 }])
  ending.abort()
  await receiving
})
