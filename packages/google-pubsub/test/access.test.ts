import type { ProvisionPlan } from 'comity/transport'
import { expect, test } from 'vitest'
import { googlePubsubTransport } from '../src/index.ts'

const plan: ProvisionPlan = {
  topics: [
    { name: 'crm.customer', team: 'crm' },
    { name: 'marketing.email-sent', team: 'marketing', buckets: 64 },
    { name: 'comity.crm.heartbeat', team: 'crm', buckets: 1 },
    { name: 'comity.crm.copying', team: 'crm', buckets: 1, senders: ['marketing', 'analysis'] },
    { name: 'comity.catalog', team: 'comity', buckets: 1, senders: ['crm', 'marketing'], shared: true },
  ],
  subscriptions: [
    { name: 'marketing.customer', team: 'marketing', topic: 'crm.customer' },
    { name: 'crm.email-sent', team: 'crm', topic: 'marketing.email-sent' },
    { name: 'crm.far', team: 'crm', topic: 'other.topic' },
  ],
}
const transport = googlePubsubTransport({ project: 'my-project', labels: { cost: '$' + '{centre}' } })
const memberOf = (team: string): string => `serviceAccount:comity-${team}@my-project.iam.gserviceaccount.com`
const due = [
  ...plan.topics.flatMap(({ name, team, senders = [], shared }) =>
    [...(shared ? [] : [team]), ...senders].flatMap((each) => [
      ['topic', name, 'roles/pubsub.publisher', memberOf(each)],
      ['topic', name, 'roles/pubsub.viewer', memberOf(each)],
    ]),
  ),
  ...plan.subscriptions.flatMap(({ name, team }) => [
    ['subscription', name, 'roles/pubsub.subscriber', memberOf(team)],
    ['subscription', name, 'roles/pubsub.viewer', memberOf(team)],
  ]),
]

test('gcloud: each team publishes to its own topics and reads its own subscriptions, and nothing else', async () => {
  const text = await transport.access(plan)
  const line =
    /^gcloud pubsub (topic|subscription)s add-iam-policy-binding '([^']+)' --project='my-project' --member='([^']+)' --role='([^']+)'$/gm
  expect([...text.matchAll(line)].map(([, on, name, member, role]) => [on, name, role, member])).toEqual(due)
  expect(text.split('\n').filter((each) => each.includes('add-iam-policy-binding'))).toHaveLength(due.length)
  expect(text).toMatch(/roles create comityPlatform .*pubsub\.topics\.attachSubscription/)
})

/** The resources of a Terraform file: enough of its grammar for what is written here. */
function resources(text: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const [, type, name, body] of text.matchAll(/^resource "(\w+)" "([\w-]+)" \{\n([\s\S]*?)\n\}$/gm)) {
    const address = `${type}.${name}`
    expect(found.has(address), `${address} is there once`).toBe(false)
    found.set(address, body as string)
  }
  return found
}

test('terraform: each object once with its settings, each grant once, every reference resolves', async () => {
  const text = await transport.access(plan, 'terraform')
  const found = resources(text)
  expect(text.replace(/^resource "\w+" "[\w-]+" \{\n[\s\S]*?\n\}$/gm, '').trim(), 'nothing but resources').toBe('')
  for (const [open, close] of ['{}', '[]']) {
    const outside = text.replace(/"(?:[^"\\]|\\.)*"/g, '')
    expect(outside.split(open as string).length).toBe(outside.split(close as string).length)
  }
  const of = (type: string): string[] => [...found].filter(([address]) => address.startsWith(`${type}.`)).map(([, body]) => body)
  expect(of('google_pubsub_topic')).toHaveLength(plan.topics.length)
  const subscriptions = of('google_pubsub_subscription')
  expect(subscriptions).toHaveLength(plan.subscriptions.length)
  for (const body of subscriptions) {
    expect(body).toMatch(/^ {2}enable_message_ordering = true$/m)
    expect(body).toMatch(/^ {2}retain_acked_messages = true$/m)
    expect(body).toMatch(/^ {2}message_retention_duration = "604800s"$/m)
    expect(body).toMatch(/^ {2}expiration_policy \{\n {4}ttl = ""\n {2}\}$/m)
  }
  expect(of('google_pubsub_topic')[1]).toContain('"comity-buckets" = "64"')
  expect(of('google_pubsub_topic')[0], 'no template of Terraform').toContain('"cost" = "$${centre}"')
  for (const [, address] of text.matchAll(/ = (google_\w+\.[\w-]+)\.\w+$/gm)) expect([...found.keys()]).toContain(address)
  const said = [...found].flatMap(([address, body]) => {
    const on = /^google_pubsub_(topic|subscription)_iam_member\./.exec(address)?.[1]
    if (on === undefined) return []
    const value = (name: string): string => new RegExp(`^  ${name} = (.+)$`, 'm').exec(body)?.[1] ?? ''
    const object = found.get(value(on).replace(/\.name$/, '')) ?? ''
    return [[on, JSON.parse(/^ {2}name = (.+)$/m.exec(object)?.[1] ?? '""'), JSON.parse(value('role')), JSON.parse(value('member'))]]
  })
  expect(said).toEqual(due)
})

test('service accounts can be named, and an unknown form is refused', async () => {
  const named = googlePubsubTransport({ project: 'my-project', serviceAccount: (team) => `${team}@example.org` })
  expect(await named.access(plan, 'gcloud')).toContain("--member='serviceAccount:crm@example.org'")
  await expect(named.access(plan, 'pulumi')).rejects.toMatchObject({ code: 'COMITY_BAD_OPTION' })
})
