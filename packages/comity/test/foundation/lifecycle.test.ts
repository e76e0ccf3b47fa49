import { event } from '@comity/contract'
import { memoryBus } from 'comity'
import { lifecycleLaws } from 'comity/testing'
import { describe, test } from 'vitest'
import { z } from 'zod'
import { publishedContracts } from '../../src/catalog/published-contracts.ts'
import { announcer } from '../../src/control/announcer.ts'
import { clearance } from '../../src/control/clearance.ts'
import { processBeat } from '../../src/control/process-beat.ts'
import { ProgressTracker } from '../../src/control/progress-tracker.ts'
import { systemReceiver } from '../../src/control/system-receiver.ts'
import { loop, type Service, service } from '../../src/foundation/index.ts'
import { Publisher } from '../../src/outbox/publisher.ts'
import type { PostgresDatabase, Queryable } from '../../src/postgres/index.ts'
import { relay } from '../../src/relay/relay.ts'
import { subscription } from '../../src/subscription/subscription.ts'
import { teamDatabase } from '../team-database.ts'

const api = { describe, test }
const Noted = event('crm.noted', { key: 'id', data: z.object({ id: z.string() }) })
const nothing = (): Promise<void> => Promise.resolve()

function subject(made: Service, dispose: () => Promise<unknown> = nothing) {
  return {
    service: made,
    async [Symbol.asyncDispose]() {
      await dispose()
    },
  }
}

/** Every statement of a service begins a turn. */
function counted(database: Queryable, turn: () => Promise<void>): Queryable {
  return {
    async query(text, values) {
      await turn()
      return database.query(text, values)
    },
  }
}

async function provisioned(): Promise<{ database: PostgresDatabase; transport: ReturnType<ReturnType<typeof memoryBus>['connect']> }> {
  const database = await teamDatabase([Noted])
  const transport = memoryBus().connect()
  await transport.provision({
    topics: [{ name: Noted.name, team: 'crm' }],
    subscriptions: [{ name: 'mail.noted', team: 'mail', topic: Noted.name }],
  })
  return { database, transport }
}

lifecycleLaws(
  {
    name: 'service',
    create: async (turn) =>
      subject(
        service({
          name: 'a service',
          async run(signal) {
            while (!signal.aborted) {
              await turn().catch(() => undefined)
              await new Promise((resolve) => setImmediate(resolve))
            }
          },
        }),
      ),
  },
  api,
)

lifecycleLaws(
  {
    name: 'loop that is always busy',
    create: async (turn) => subject(loop({ name: 'busy', poll: { min: 1, max: 1 }, runOnce: () => turn().then(() => 'busy' as const) })),
  },
  api,
)

lifecycleLaws(
  {
    name: 'loop that finds nothing, and prepares itself first',
    create: async (turn) =>
      subject(
        loop({
          name: 'idle',
          poll: { min: 1000, max: 600_000 },
          prepare: () => new Promise((resolve) => setImmediate(resolve)),
          runOnce: () => turn().then(() => 'idle' as const),
        }),
      ),
  },
  api,
)

lifecycleLaws(
  {
    name: 'clearance',
    create: async (turn) => {
      const { database, transport } = await provisioned()
      const made = clearance({ team: 'crm', holder: 'here', database: counted(database, turn), transport })
      return subject(made, async () => {
        await transport.close()
        await database.close()
      })
    },
  },
  api,
)

lifecycleLaws(
  {
    name: 'process beat of control',
    create: async (turn) => {
      const database = await teamDatabase()
      const tracker = new ProgressTracker({ subscriptions: [], relay: undefined })
      return subject(processBeat({ holder: 'here', database: counted(database, turn), tracker }), () => database.close())
    },
  },
  api,
)

lifecycleLaws(
  {
    name: 'announcer of control',
    create: async (turn) => {
      const { database, transport } = await provisioned()
      const made = announcer({
        ...{ team: 'crm', holder: 'here', database: counted(database, turn), transport, topicNamed: (name: string) => name },
        ...{ mayAnnounce: () => true, cleared: async (signal: AbortSignal) => signal },
        declared: { team: 'crm', owns: [], publishes: [], keeps: [], handles: [], operates: [], operators: [] },
        contracts: [],
      })
      return subject(made, async () => {
        await transport.close()
        await database.close()
      })
    },
  },
  api,
)

lifecycleLaws(
  {
    name: 'receiver of control',
    create: async (turn) => {
      const transport = memoryBus().connect()
      await transport.provision({ topics: [{ name: 't', team: 'crm' }], subscriptions: [{ name: 'crm.t', team: 'crm', topic: 't' }] })
      await transport.send('t', [{ id: 'm', key: 'k', attributes: {}, data: '' }])
      const handler = (deliveries: readonly unknown[]) => turn().then(() => deliveries.map(() => 'ack' as const))
      return subject(systemReceiver({ subscription: 'crm.t', transport, cleared: async (signal) => signal, handler }), () =>
        transport.close(),
      )
    },
  },
  api,
)

lifecycleLaws(
  {
    name: 'relay',
    create: async (turn) => {
      const { database, transport } = await provisioned()
      await database.transaction((tx) => new Publisher(Noted).publish(tx, { id: 'n1' }))
      const made = relay({
        team: 'crm',
        database: counted(database, turn),
        transport,
        holder: 'here',
        identity: () => ({ team: 'crm', holder: 'here', incarnation: 1 }),
        contracts: () => publishedContracts(database, ''),
      })
      return subject(made, async () => {
        await transport.close()
        await database.close()
      })
    },
  },
  api,
)

lifecycleLaws(
  {
    name: 'subscription',
    create: async (turn) => {
      const { database, transport } = await provisioned()
      for (const statement of [
        `insert into comity.subscriptions (name, topic, kind, lanes) values ('mail.noted', 'crm.noted', 'handler', 4)`,
        `insert into comity.lanes select 'mail.noted', generate_series(0, 3)`,
        `insert into comity.counts (subscription, lane) select 'mail.noted', generate_series(0, 3)`,
      ]) {
        await database.query(statement)
      }
      await database.transaction((tx) => new Publisher(Noted).publish(tx, { id: 'n1' }))
      await using sender = relay({
        team: 'crm',
        database,
        transport,
        holder: 'there',
        identity: () => ({ team: 'crm', holder: 'there', incarnation: 1 }),
        contracts: () => publishedContracts(database, ''),
      })
      await sender.start()
      await sender.drained()
      const made = subscription<Queryable>({
        name: 'mail.noted',
        contract: Noted,
        database,
        transport,
        retry: { attempts: 5, wait: { min: 1, max: 5 } },
        consumer: {
          kind: 'handler',
          batch: 10,
          async consume({ messages }) {
            await turn()
            return messages.map(() => 'applied')
          },
        },
      })
      return subject(made, async () => {
        await transport.close()
        await database.close()
      })
    },
  },
  api,
)
