import type { CopyingHandler } from '../control/copying-channel.ts'
import { type Logger, logEvent, silentLogger } from '../foundation/index.ts'
import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database } from '../postgres/database.ts'
import type { Permit } from '../subscription/permits.ts'
import { LOST_HISTORY, type LostHistory } from './lost-history.ts'

const TOPICS = 'select distinct topic from comity.subscriptions'
const TURN_AWAY = `
  select comity.turn_lost_away($1::text, $2::text::bigint, $3::text::jsonb, $4::text::text[])::text as waited`
const NAME = 'select comity.name_lost($1::text, $2::text::text[])::text as handled'

/**
 * What a team does when an owner has lost a history: messages of it are turned away from now on, those that wait end, both by the name `lost`; and those
 * that handlers had acted upon are named. What they did stays: only somebody who knows what it was can take it back. Copies are compared and
 * repaired for that same reason.
 */
export function lostHeard(options: {
  readonly owner: string
  /** Whether this contract is that owner's. */
  readonly isTheirs: (topic: string) => boolean
  readonly database: Database
  readonly permit: Permit
  readonly logger?: Logger
}): CopyingHandler<LostHistory> {
  const { owner, isTheirs, database, permit, logger = silentLogger } = options

  return {
    contract: LOST_HISTORY,
    async handle(messages) {
      for (const { data } of messages) {
        const { rows } = await database.query<{ topic: string }>(TOPICS)
        const topics = arrayLiteral(rows.map(({ topic }) => topic).filter(isTheirs))
        const waited = await permit(() =>
          database.transaction(async (tx) => {
            const own = [owner, String(data.life), JSON.stringify(data.ranges), topics]
            return (await database.join(tx).query<{ waited: string }>(TURN_AWAY, own)).rows[0]?.waited
          }),
        )
        // What was handled has been committed, and nothing more will be.
        const handled = (await database.query<{ handled: string }>(NAME, [owner, topics])).rows[0]?.handled
        const found = new Map<string, { handled: string[]; discarded: number }>()
        const of = (subscription: string) => {
          const one = found.get(subscription) ?? { handled: [], discarded: 0 }
          found.set(subscription, one)
          return one
        }
        for (const one of JSON.parse(waited ?? '[]') as { subscription: string; messages: number }[])
          of(one.subscription).discarded += one.messages
        for (const one of JSON.parse(handled ?? '[]') as { subscription: string; message: string }[])
          of(one.subscription).handled.push(one.message)
        for (const [subscription, { handled: ids, discarded }] of found)
          logEvent(logger, 'comity.history.lost', {
            ...{ sender: owner, subscription, handled: ids.length, discarded },
            messages: ids.slice(0, SHOWN),
          })
      }
      return messages.map(() => 'ack')
    },
  }
}

/** In a line of the log; `comity.lost_handled` has all of them. */
const SHOWN = 20
