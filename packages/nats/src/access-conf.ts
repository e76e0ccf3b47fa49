import type { ProvisionPlan } from 'comity/transport'
import { counterOf, inboxOf, newsOf, peekOf, readerOf, storeOf, streamOf, subjectOf, toToken } from './names.ts'

/**
 * The users of one account, as text of nats-server.conf: the operator, who provisions, and one for each team of the plan, with no right but those
 * that its processes use. What is not allowed is denied. Passwords come from the environment of the server.
 *
 * What NATS cannot do inside one account: whoever may ask JetStream anything may name any subject for the answer. A hostile team could make the
 * server write such an answer, or messages it may read, into a topic of another team. Teams that do not trust each other that far need accounts
 * of their own.
 */
export function accessConf(plan: ProvisionPlan, defaultBuckets: number): string {
  const teams = [
    ...new Set([
      ...[...plan.topics.filter(({ shared }) => !shared), ...plan.subscriptions].map(({ team }) => team),
      ...plan.topics.flatMap(({ senders = [] }) => senders),
    ]),
  ].sort()
  const lines = [
    '# Made by transport.access(plan): users of one account, each with the rights that its processes use. What is not listed is denied.',
    'accounts {',
    '  COMITY {',
    '    jetstream: enabled',
    '    users: [',
    `      { user: "comity-operator", password: $NATS_PASSWORD_COMITY_OPERATOR }`,
  ]
  for (const team of teams) lines.push(...userOf(team, plan, defaultBuckets))
  return [...lines, '    ]', '  }', '}', ''].join('\n')
}

function userOf(team: string, plan: ProvisionPlan, defaultBuckets: number): string[] {
  const list = (subjects: readonly string[]): string[] => [...new Set(subjects)].map((subject) => `            "${subject}"`)
  return [
    '      {',
    `        user: "${team}"`,
    `        password: $NATS_PASSWORD_${team.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`,
    '        permissions: {',
    '          publish: { allow: [',
    ...list(publishedBy(team, plan, defaultBuckets)),
    '          ] }',
    '          subscribe: { allow: [',
    ...list([`${inboxOf(team)}.>`, newsOf(team, '*')]),
    '          ] }',
    '        }',
    '      }',
  ]
}

function publishedBy(team: string, { topics, subscriptions }: ProvisionPlan, defaultBuckets: number): readonly string[] {
  const store = storeOf(team)
  const subjects = [newsOf(team, '*'), `$KV.${store}.>`, `$JS.API.STREAM.MSG.GET.KV_${store}`, `$JS.API.STREAM.PURGE.KV_${store}`]
  for (const topic of topics.filter((each) => each.team === team || each.senders?.includes(team))) {
    const stream = streamOf(topic.name)
    subjects.push(subjectOf(topic.name, '*'), `$JS.API.STREAM.INFO.${stream}`, `$JS.API.STREAM.MSG.GET.${stream}`)
  }
  // Whoever sends to a team may see that it reads.
  for (const topic of topics.filter((each) => each.team !== team && !each.shared && each.senders?.includes(team)))
    for (const reader of subscriptions.filter((each) => each.topic === topic.name && each.team === topic.team))
      subjects.push(peekOf(reader.team, `subscriptions.${toToken(reader.name)}`))
  for (const { name, topic } of subscriptions.filter((each) => each.team === team)) {
    const stream = streamOf(topic)
    const buckets = topics.find((each) => each.name === topic)?.buckets ?? defaultBuckets
    subjects.push(`$JS.API.STREAM.INFO.${stream}`, `$JS.API.DIRECT.GET.${stream}`)
    const count = counterOf(name)
    subjects.push(`$JS.API.CONSUMER.CREATE.${stream}.${count}.${subjectOf(topic, '*')}`, `$JS.API.CONSUMER.DELETE.${stream}.${count}`)
    for (const bucket of [...Array(buckets).keys(), 'all'] as const) {
      const reader = readerOf(name, bucket)
      subjects.push(
        `$JS.API.CONSUMER.CREATE.${stream}.${reader}.${subjectOf(topic, bucket === 'all' ? '*' : bucket)}`,
        `$JS.API.CONSUMER.DELETE.${stream}.${reader}`,
        `$JS.API.CONSUMER.MSG.NEXT.${stream}.${reader}`,
      )
    }
  }
  return subjects
}
