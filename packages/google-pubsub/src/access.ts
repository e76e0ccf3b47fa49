import { BadOption, type ProvisionPlan } from 'comity/transport'
import { objectId } from './object-names.ts'
import { type Settings, wantedSubscription, wantedTopic } from './settings.ts'

/** One member's role on one object. */
export interface Grant {
  readonly on: 'topic' | 'subscription'
  readonly name: string
  readonly role: 'roles/pubsub.publisher' | 'roles/pubsub.subscriber' | 'roles/pubsub.viewer'
  /** e.g. `serviceAccount:comity-crm@my-project.iam.gserviceaccount.com` */
  readonly member: string
  /** The team, where it may send to a topic that is another's. */
  readonly sender?: string
}

export type ServiceAccountOf = (team: string) => string

/**
 * The least that each team needs: publisher on the topics it owns, subscriber on its subscriptions, and viewer on both, to read a topic's number of
 * buckets and check a subscription's settings. Nobody may attach a subscription to a topic but the platform role that provisions: a subscriber
 * role on a subscription does not extend to its topic.
 */
export function grantsOf(plan: ProvisionPlan, settings: Settings, serviceAccount: ServiceAccountOf = usual(settings)): readonly Grant[] {
  const grants: Grant[] = []
  for (const { name, team, senders = [], shared } of plan.topics) {
    for (const each of new Set([...(shared ? [] : [team]), ...senders])) {
      const given = {
        on: 'topic',
        name,
        member: `serviceAccount:${serviceAccount(each)}`,
        ...(each === team ? {} : { sender: each }),
      } as const
      grants.push({ ...given, role: 'roles/pubsub.publisher' }, { ...given, role: 'roles/pubsub.viewer' })
    }
  }
  for (const { name, team } of plan.subscriptions) {
    const member = `serviceAccount:${serviceAccount(team)}`
    grants.push(
      { on: 'subscription', name, role: 'roles/pubsub.subscriber', member },
      { on: 'subscription', name, role: 'roles/pubsub.viewer', member },
    )
  }
  return grants
}
const usual =
  ({ project }: Settings): ServiceAccountOf =>
  (team) =>
    `comity-${team.replaceAll('.', '-')}@${project}.iam.gserviceaccount.com`

export function accessText(
  settings: Settings,
  serviceAccount: ServiceAccountOf | undefined,
  plan: ProvisionPlan,
  format: string = 'gcloud',
): string {
  const grants = grantsOf(plan, settings, serviceAccount)
  if (format === 'gcloud') return gcloud(settings, grants)
  if (format === 'terraform') return terraform(settings, plan, grants)
  throw new BadOption({ option: 'format', expected: 'gcloud or terraform' })
}

/** The rights of whoever provisions, as a role of their own: it alone may attach subscriptions to topics. */
const PLATFORM_RIGHTS = [
  'pubsub.topics.attachSubscription',
  'pubsub.topics.create',
  'pubsub.topics.delete',
  'pubsub.topics.get',
  'pubsub.topics.update',
  'pubsub.subscriptions.create',
  'pubsub.subscriptions.delete',
  'pubsub.subscriptions.get',
  'pubsub.subscriptions.update',
]

function gcloud({ project, prefix }: Settings, grants: readonly Grant[]): string {
  const lines = grants.map(
    ({ on, name, role, member }) =>
      `gcloud pubsub ${on}s add-iam-policy-binding '${objectId(name, prefix)}' --project='${project}' --member='${member}' --role='${role}'`,
  )
  return [
    '# The role of whoever runs `comity provision`, and of nobody else: it may attach subscriptions to topics.',
    `gcloud iam roles create comityPlatform --project='${project}' --title='Comity platform' --permissions='${PLATFORM_RIGHTS.join(',')}'`,
    '# What each team may do, object by object.',
    ...lines,
    '',
  ].join('\n')
}

/** The whole plan as Terraform, settings and grants: it can take the place of `comity provision`. */
function terraform(settings: Settings, plan: ProvisionPlan, grants: readonly Grant[]): string {
  const { prefix, project } = settings
  const blocks = [
    block('google_project_iam_custom_role', 'comity_platform', {
      project,
      role_id: 'comityPlatform',
      title: 'Comity platform',
      permissions: PLATFORM_RIGHTS,
    }),
    ...plan.topics.map((topic) => {
      const wanted = wantedTopic(settings, topic)
      return block('google_pubsub_topic', label(topic.name), {
        project,
        name: objectId(topic.name, prefix),
        labels: wanted.labels as Record<string, string>,
        ...(settings.topicRetention > 0 ? { message_retention_duration: `${settings.topicRetention}s` } : {}),
      })
    }),
    ...plan.subscriptions.map((subscription) => {
      const wanted = wantedSubscription(settings, subscription)
      // A topic of another team's plan is named by its path.
      const here = plan.topics.some(({ name }) => name === subscription.topic)
      return block('google_pubsub_subscription', label(subscription.name), {
        project,
        name: objectId(subscription.name, prefix),
        topic: here ? reference(`google_pubsub_topic.${label(subscription.topic)}.id`) : String(wanted.topic),
        labels: wanted.labels as Record<string, string>,
        enable_message_ordering: true,
        ack_deadline_seconds: settings.ackDeadline,
        retain_acked_messages: true,
        message_retention_duration: `${settings.retention}s`,
        expiration_policy: nested({ ttl: '' }),
      })
    }),
    ...grants.map(({ on, name, role, member, sender }) => {
      const from = sender === undefined ? '' : `__${label(sender)}`
      const planned = (on === 'topic' ? plan.topics : plan.subscriptions).some((each) => each.name === name)
      return block(`google_pubsub_${on}_iam_member`, `${label(name)}__${role.slice(role.lastIndexOf('.') + 1)}${from}`, {
        project,
        [on]: planned ? reference(`google_pubsub_${on}.${label(name)}.name`) : objectId(name, prefix),
        role,
        member,
      })
    }),
  ]
  return `${blocks.join('\n\n')}\n`
}

type Value = string | number | boolean | readonly string[] | Readonly<Record<string, string>> | Raw
/** Text that is written as it is. */
class Raw {
  readonly text: string
  readonly isBlock: boolean
  constructor(text: string, isBlock: boolean) {
    this.text = text
    this.isBlock = isBlock
  }
}
const reference = (to: string): Raw => new Raw(to, false)
const nested = (values: Readonly<Record<string, string>>): Raw =>
  new Raw(
    `{\n${Object.entries(values)
      .map(([name, value]) => `    ${name} = ${quoted(value)}\n`)
      .join('')}  }`,
    true,
  )

function block(type: string, name: string, values: Readonly<Record<string, Value>>): string {
  const lines = Object.entries(values).map(
    ([key, value]) => `  ${key}${value instanceof Raw && value.isBlock ? ' ' : ' = '}${written(value)}`,
  )
  return `resource "${type}" "${name}" {\n${lines.join('\n')}\n}`
}
function written(value: Value): string {
  if (value instanceof Raw) return value.text
  if (Array.isArray(value)) return `[${value.map(quoted).join(', ')}]`
  if (typeof value === 'object')
    return `{\n${Object.entries(value as Readonly<Record<string, string>>)
      .map(([name, text]) => `    ${quoted(name)} = ${quoted(text)}\n`)
      .join('')}  }`
  return typeof value === 'string' ? quoted(value) : String(value)
}
/** `${` and `%{` begin templates in Terraform's strings. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(/([$%])\{/g, '$1$1{')
}
/** A name as Terraform's label, and back: `_` doubles, a dot is `_d`, a hyphen is kept, anything else is `_x` and its code point. */
function label(name: string): string {
  const written = name.replace(/[^A-Za-z0-9-]/gu, (c) =>
    c === '_' ? '__' : c === '.' ? '_d' : `_x${(c.codePointAt(0) as number).toString(16)}_`,
  )
  return /^[A-Za-z]/.test(written) ? written : `_n${written}`
}
