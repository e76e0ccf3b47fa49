import { type JsonValue, messageId } from '@comity/contract'
import { type Declaration, inNamespace, subscriptionsOf } from '../../catalog/declaration.ts'
import type { Queryable } from '../../postgres/database.ts'
import { NoReplay, ReplayTooFar } from '../errors.ts'
import type { Operation, OperationContext } from './operation.ts'
import { requireSubscription } from './require-subscription.ts'

/** Where a subscription goes: the beginning of what is kept, a time, or the message of a version of its topic's owner. */
export interface ReplayArguments {
  readonly subscription: string
  readonly to: 'beginning' | { readonly time: string } | { readonly version: number }
}

/* The old generation's sessions end at the gate; nothing is consumed until the broker's position is where `seek` says. */
const GO = `
  update comity.subscriptions set generation = generation + 1, seek = $2::text, replayed_until = clock_timestamp()
  where name = $1::text returning generation`
/* Versions grow slower than microseconds since 2026: a version was drawn at that time or later. */
const TIME_OF_VERSION = `
  select to_char(coalesce((select min(i.time) from comity.inbox i where i.subscription = s.name and i.generation = s.generation and i.message = $3::text),
    timestamptz '2026-01-01 00:00:00Z' + $2::text::bigint * interval '1 microsecond') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time
  from comity.subscriptions s where s.name = $1::text`
const FLOOR = `
  select to_char(nullif(comity.inbox_floor(), '-infinity') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as floor from comity.subscriptions
  where name = $1::text and kind = 'handler'`

/**
 * Sends one subscription back over what the broker keeps, as a new generation: every message may have its effect again, and handlers
 * see `replayed`. Nobody else is touched. Lines that wait stay before what comes again.
 */
export const replay: Operation<ReplayArguments> = {
  kind: 'replay',
  arguments: {
    type: 'object',
    properties: {
      subscription: { type: 'string', minLength: 1 },
      to: {
        anyOf: [
          { const: 'beginning' },
          {
            type: 'object',
            properties: { time: { type: 'string', format: 'date-time' } },
            required: ['time'],
            additionalProperties: false,
          },
          { type: 'object', properties: { version: { type: 'integer', minimum: 1 } }, required: ['version'], additionalProperties: false },
        ],
      },
    },
    required: ['subscription', 'to'],
    additionalProperties: false,
  },
  async run(sql, context, { subscription, to }): Promise<JsonValue> {
    await requireReplay(sql, context, subscription)
    const place = await placeOf(sql, context, subscription, to)
    const { rows } = await sql.query<{ generation: number }>(GO, [subscription, place])
    return { subscription, generation: rows[0]?.generation ?? null, from: place }
  },
}

/** Leaves everything behind that waits at the broker, and says how much that was. Lines stay. */
export const skipToNow: Operation<{ readonly subscription: string }> = {
  kind: 'skip-to-now',
  arguments: {
    type: 'object',
    properties: { subscription: { type: 'string', minLength: 1 } },
    required: ['subscription'],
    additionalProperties: false,
  },
  async run(sql, context, { subscription }): Promise<JsonValue> {
    await requireReplay(sql, context, subscription)
    const { transport, namespace } = context.environment
    const { rows } = await sql.query<{ broker: string | null }>(
      'select broker_name as broker from comity.subscriptions where name = $1::text',
      [subscription],
    )
    const [stats] = (await transport.stats?.([rows[0]?.broker ?? inNamespace(namespace, subscription)])) ?? []
    await sql.query(`update comity.subscriptions set generation = generation + 1, seek = 'end' where name = $1::text`, [subscription])
    return { subscription, leftBehind: stats?.backlog ?? null }
  },
}

async function requireReplay(sql: Queryable, { declaration, environment }: OperationContext, subscription: string): Promise<void> {
  await requireSubscription(sql, declaration.team, subscription)
  const { transport } = environment
  if (!transport.guarantees.replay) throw new NoReplay({ transport: transport.name })
}

async function placeOf(
  sql: Queryable,
  { declaration }: OperationContext,
  subscription: string,
  to: ReplayArguments['to'],
): Promise<string> {
  const floor = (await sql.query<{ floor: string | null }>(FLOOR, [subscription])).rows[0]?.floor ?? undefined
  if (to === 'beginning') return floor ?? 'beginning'
  const time = 'time' in to ? new Date(to.time).toISOString() : await timeOf(sql, declaration, subscription, to.version)
  if (floor !== undefined && time < floor) throw new ReplayTooFar({ subscription, time, floor })
  if (Date.parse(time) > Date.now())
    throw new ReplayTooFar({ subscription, time, floor: floor ?? 'the beginning of what the broker keeps' })
  return time
}

async function timeOf(sql: Queryable, declaration: Declaration, subscription: string, version: number): Promise<string> {
  const owner = subscriptionsOf(declaration).find(({ name }) => name === subscription)?.contract.owner ?? ''
  const values = [subscription, String(version), messageId(owner, version)]
  return (await sql.query<{ time: string }>(TIME_OF_VERSION, values)).rows[0]?.time as string
}
