import type { Team } from 'comity'
import { brokerAccess, provisionPlan } from 'comity/admin'
import { memoryBus, migrateBus, type ProvisionPlan, postgresTransport, rolesSql, type Transport } from 'comity/transport'
import pg from 'pg'
import { launchBroker } from '../../../scripts/brokers.mjs'
import { emulatorProxy } from '../../../scripts/emulator-proxy.mjs'
import { freshDatabase } from '../postgres.ts'
import { type BusKind, openBus } from './bus-address.ts'

/** A broker on which every team has no more than its least rights, and an operator provisions. */
export interface LimitedBus extends AsyncDisposable {
  provision(team: Team): Promise<void>
  /** A connection with the rights of that team. */
  as(team: string): Promise<Transport>
}

/** A broker of that kind, for these teams. In memory only what is sent with a fence is told from what another sends. */
export async function launchLimitedBus(kind: BusKind, teams: readonly Team[]): Promise<LimitedBus> {
  if (kind === 'memory') {
    const bus = memoryBus()
    return limited(bus.connect(), async () => bus.connect())
  }
  return { postgres: onPostgres, nats: onNats, 'google-pubsub': onGooglePubsub }[kind](teams)
}

async function onPostgres(teams: readonly Team[]): Promise<LimitedBus> {
  const { url, name } = await freshDatabase()
  await migrateBus({ url })
  const admin = new pg.Client(url)
  await admin.connect()
  // Roles belong to the whole server: named after the database, so that tests do not meet.
  await admin.query(
    rolesSql(
      teams.map((team) => ({ team: team.name, role: `${team.name}_${name}` })),
      { database: name },
    ),
  )
  await admin.end()
  return limited(postgresTransport({ url, allowUnsafe: true }), async (team) => {
    const own = new URL(url)
    own.username = `${team}_${name}`
    return openBus({ kind: 'postgres', url: own.href })
  })
}

async function onNats(teams: readonly Team[]): Promise<LimitedBus> {
  const conf = await accessOf(teams, 'nats', 'nats://nowhere?sync=always')
  const server = await launchBroker('nats', { config: conf.replaceAll(/\$NATS_PASSWORD_[A-Z_]+/g, 'secret') })
  const open = (user: string, team = ''): Promise<Transport> =>
    openBus({ kind: 'nats', url: `nats://${user}:secret@127.0.0.1:${server.port}?sync=interval${team}` })
  return limited(
    await open('comity-operator'),
    (team) => open(team, `&team=${team}`),
    () => server.close(),
  )
}

/** What each role is good for, as far as Comity calls it. Source: https://cloud.google.com/pubsub/docs/access-control */
const ROLES: Readonly<Record<string, readonly string[]>> = {
  'topic roles/pubsub.publisher': ['Publish'],
  'topic roles/pubsub.viewer': ['GetTopic', 'ListTopicSubscriptions'],
  'subscription roles/pubsub.subscriber': ['StreamingPull', 'Pull', 'Acknowledge', 'ModifyAckDeadline', 'Seek'],
  'subscription roles/pubsub.viewer': ['GetSubscription'],
}

/** The emulator knows no identities: each team reaches it by a proxy that holds the calls against what `access` grants. */
async function onGooglePubsub(teams: readonly Team[]): Promise<LimitedBus> {
  const broker = await launchBroker('google-pubsub')
  const url = (port: number): string => `google-pubsub://comity?emulator=127.0.0.1:${port}&ackDeadline=10s`
  const text = await accessOf(teams, 'google-pubsub', url(broker.port))
  const granted = new Set<string>()
  const grant = /^gcloud pubsub (\w+)s add-iam-policy-binding '([^']+)' .* --member='serviceAccount:comity-([^@]+)@.*--role='([^']+)'$/gm
  for (const [, on, name, team, role] of text.matchAll(grant))
    for (const method of ROLES[`${on} ${role}`] ?? []) granted.add(`${team} ${method} projects/comity/${on}s/${name}`)
  const proxies: { close(): void }[] = []
  return limited(
    await openBus({ kind: 'google-pubsub', url: url(broker.port) }),
    async (team) => {
      const proxy = await emulatorProxy(broker.port, (method, resource) => granted.has(`${team} ${method} ${resource}`))
      proxies.push(proxy)
      return openBus({ kind: 'google-pubsub', url: url(proxy.port) })
    },
    async () => {
      for (const proxy of proxies) proxy.close()
      await broker.close()
    },
  )
}

/** Writing rights down asks the broker nothing. */
async function accessOf(teams: readonly Team[], kind: BusKind, url: string): Promise<string> {
  await using transport = await openBus({ kind, url })
  const members = teams.map((team) => team.with({ database: 'postgres://nobody', transport }))
  const [access] = await brokerAccess(members)
  return (access as { readonly text: string }).text
}

function limited(
  operator: Transport,
  as: (team: string) => Promise<Transport>,
  close: () => Promise<void> = async () => undefined,
): LimitedBus {
  const opened: Transport[] = [operator]
  return {
    async provision(team) {
      const plan: ProvisionPlan = provisionPlan(team.declaration, '')
      await operator.provision(plan)
    },
    async as(team) {
      const transport = await as(team)
      opened.push(transport)
      return transport
    },
    async [Symbol.asyncDispose]() {
      for (const transport of opened) await transport.close()
      await close()
    },
  }
}
