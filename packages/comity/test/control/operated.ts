import { randomUUID } from 'node:crypto'
import { event, sourceOf, toAttributes } from '@comity/contract'
import { type Logger, memoryBus, type Queryable, type Team, type TeamOptions, team } from 'comity'
import { postgresTransport, type Transport } from 'comity/transport'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'

export const Noted = event('crm.noted', { key: 'id', data: z.object({ id: z.string() }) })

/** A broker of either kind: each connection is another client. */
export interface Broker {
  connect(): Transport
}
export async function newBroker(kind: 'memory' | 'postgres'): Promise<Broker> {
  if (kind === 'memory') return memoryBus()
  const { url } = await freshDatabase()
  return { connect: () => postgresTransport({ url, allowUnsafe: true, closeGrace: 200, leaseMs: 1500 }) }
}

/** Platform operates CRM and Marketing; each is made on a broker, with a database of its own, not started. */
export interface Operated {
  readonly crm: Team<Queryable>
  readonly platform: Team<Queryable>
  readonly broker: Broker
  /** What CRM has logged, from warnings on. */
  readonly log: string[]
  close(): Promise<void>
}
export async function newOperated(broker: Broker, options: TeamOptions<Queryable> = {}): Promise<Operated> {
  const log: string[] = []
  const line = (fields: unknown, message: string): void => void log.push(`${message} ${JSON.stringify(fields)}`)
  const logger: Logger = { debug: () => undefined, info: () => undefined, warn: line, error: line }
  const common = { autoMigrate: true, allowUnsafe: true, ...options }
  const crm = team('crm', {
    ...{ ...common, logger, operators: ['platform'] },
    ...{ database: (await freshDatabase({ migrated: true })).url, transport: broker.connect() },
  }).publishes(Noted)
  const platform = team('platform', {
    ...{ ...common, operates: ['crm', 'marketing'] },
    ...{ database: (await freshDatabase({ migrated: true })).url, transport: broker.connect() },
  })
  return {
    ...{ crm, platform, broker, log },
    async close() {
      for (const one of [crm, platform]) {
        await one.stop()
        await (one.options.transport as Transport).close()
      }
    },
  }
}

/** A message on the topic of Platform's commands, as anyone who may send there could write it. */
export function commandMessage(data: unknown, options: { readonly id?: string; readonly from?: string; readonly to?: string } = {}) {
  const { from = 'platform', to = 'crm' } = options
  const id = options.id ?? (data as { id?: string }).id ?? randomUUID()
  const attributes = toAttributes({
    ...{
      id,
      source: sourceOf(from),
      type: 'comity.command',
      subject: to,
      time: new Date().toISOString(),
      version: 1,
      kind: 'event' as const,
    },
  })
  return { id, key: to, attributes, data: typeof data === 'string' ? data : JSON.stringify(data) }
}

export function command(overrides: Readonly<Record<string, unknown>> = {}): { readonly id: string } {
  return {
    ...{
      v: 1,
      id: randomUUID(),
      to: 'crm',
      kind: 'ping',
      arguments: {},
      author: 'ann',
      reason: 'a test',
      requestedAt: new Date().toISOString(),
    },
    ...overrides,
  }
}
