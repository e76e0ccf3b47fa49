import { checkSubscriptionName } from '@comity/contract'
import { giveUpBackfills } from '../../backfill/give-up-backfills.ts'
import { inNamespace, subscriptionsOf } from '../../catalog/declaration.ts'
import { copyingSubscription } from '../../control/copying-topics.ts'
import type { Queryable } from '../../postgres/database.ts'
import { CountDiffers, SubscriptionDeclared, SubscriptionInUse } from '../errors.ts'
import type { Operation } from './operation.ts'
import { requireSubscription } from './require-subscription.ts'

const name = { type: 'string', minLength: 1 } as const
/** Where a subscription's name stands, and what goes with it. */
const TABLES = [
  ['comity.subscriptions', 'name'],
  ['comity.replicas', 'name'],
  ...['lanes', 'inbox', 'waiting_keys', 'waiting', 'counts', 'discarded', 'edited', 'pauses', 'marks', 'lost_handled'].map(
    (table) => [`comity.${table}`, 'subscription'] as const,
  ),
  ...['tombstones', 'conflicts', 'asked_backfills', 'backfill_left'].map((table) => [`comity.${table}`, 'replica'] as const),
] as const
/** What stays on record, under the name that it has now. */
const RECORDS = ['audits', 'repairs'].map((table) => [`comity.${table}`, 'replica'] as const)

/**
 * Gives a subscription another name, with its lines, its inbox and its position: the broker's queue stays the one it has. For an
 * orphan this is adoption: what the code declares under the new name goes on where the old one was. A fresh registration under the
 * new name gives way if it has consumed nothing. Processes of the old code find their subscription gone until they are deployed.
 */
export const renameSubscription: Operation<{ readonly from: string; readonly to: string }> = {
  kind: 'rename-subscription',
  arguments: { type: 'object', properties: { from: name, to: name }, required: ['from', 'to'], additionalProperties: false },
  async run(sql, { declaration, environment }, { from, to }) {
    await requireSubscription(sql, declaration.team, from)
    checkSubscriptionName(to, declaration.team)
    await lockLanes(sql, from)
    const gaveWay = await giveWay(sql, to)
    await sql.query('update comity.subscriptions set broker_name = coalesce(broker_name, $2::text) where name = $1::text', [
      from,
      inNamespace(environment.namespace, from),
    ])
    for (const [table, column] of [...TABLES, ...RECORDS])
      await sql.query(`update ${table} set ${column} = $2::text where ${column} = $1::text`, [from, to])
    // The queue of the one that gave way: the other one has all of it, and more.
    if (gaveWay) await environment.transport.remove?.({ subscriptions: [inNamespace(environment.namespace, to)] })
    return { from, to }
  },
}

/**
 * Takes an orphan away: its lines, its inbox, its queue at the broker; a copy stays as a plain table, and its owner stops to fill it. `messages` is what waits in its
 * lines, or it is refused. Throws COMITY_SUBSCRIPTION_DECLARED for one that the code still declares.
 */
export const removeSubscription: Operation<{ readonly subscription: string; readonly messages: number }> = {
  kind: 'remove-subscription',
  arguments: {
    type: 'object',
    properties: { subscription: name, messages: { type: 'integer', minimum: 0 } },
    required: ['subscription', 'messages'],
    additionalProperties: false,
  },
  async run(sql, { declaration, environment }, { subscription, messages }) {
    await requireSubscription(sql, declaration.team, subscription)
    if (subscriptionsOf(declaration).some((declared) => declared.name === subscription)) throw new SubscriptionDeclared({ subscription })
    await lockLanes(sql, subscription)
    const { rows } = await sql.query<{ broker: string | null; waiting: number }>(
      `select s.broker_name as broker, (select count(*)::int from comity.waiting_keys k join comity.waiting w
          on w.subscription = k.subscription and w.key = k.key and w.seq > k.done where k.subscription = s.name) as waiting
       from comity.subscriptions s where s.name = $1::text`,
      [subscription],
    )
    const waiting = rows[0]?.waiting ?? 0
    if (waiting !== messages) throw new CountDiffers({ what: `messages that wait in ${subscription}`, given: messages, found: waiting })
    const { transport, namespace } = environment
    const speaker = { team: declaration.team, transport, topicNamed: (topic: string) => inNamespace(namespace, topic) }
    await giveUpBackfills(sql, speaker, subscription)
    await dropRebuilt(sql, subscription)
    for (const [table, column] of TABLES) await sql.query(`delete from ${table} where ${column} = $1::text`, [subscription])
    // Last: if the broker refuses, nothing has happened.
    const own = rows[0]?.broker ?? inNamespace(namespace, subscription)
    const copying = copyingSubscription(subscription)
    await transport.remove?.({ subscriptions: [own, inNamespace(namespace, copying)] })
    return { subscription, discarded: waiting }
  },
}

/** Whoever consumes it has ended, and finds the row gone. */
async function lockLanes(sql: Queryable, subscription: string): Promise<void> {
  await sql.query('select from comity.lanes where subscription = $1::text order by lane for update', [subscription])
}

/** What a rebuild was filling beside a copy: it is in no state to be of use to anybody. */
async function dropRebuilt(sql: Queryable, replica: string): Promise<void> {
  const { rows } = await sql.query<{ table: string }>(
    `select format('%I.%I', table_schema, rebuilt ->> 'table') as table from comity.replicas where name = $1::text and rebuilt is not null`,
    [replica],
  )
  for (const { table } of rows) await sql.query(`drop table if exists ${table}`)
}

async function giveWay(sql: Queryable, subscription: string): Promise<boolean> {
  const { rows } = await sql.query<{ used: boolean }>(
    `select exists (select from comity.counts c where c.subscription = s.name and c.applied + c.duplicate + c.stale + c.waiting + c.discarded > 0) as used
     from comity.subscriptions s where s.name = $1::text for update`,
    [subscription],
  )
  if (rows[0] === undefined) return false
  if (rows[0].used) throw new SubscriptionInUse({ subscription })
  await lockLanes(sql, subscription)
  for (const [table, column] of TABLES) await sql.query(`delete from ${table} where ${column} = $1::text`, [subscription])
  return true
}
