import { randomUUID } from 'node:crypto'
import { CountDiffers } from '../errors.ts'
import { estimateLines } from '../jobs/selection.ts'
import type { Operation } from './operation.ts'
import { requireSubscription } from './require-subscription.ts'

export interface PurgeArguments {
  readonly subscription: string
  readonly tenant?: string
  /** How many messages are to go: as many as wait now, or it is refused. */
  readonly messages: number
}

/** Ends everything that waits in lines of a subscription (of one tenant), whatever the reason, by name: a job. Throws COMITY_COUNT_DIFFERS. */
export const purge: Operation<PurgeArguments> = {
  kind: 'purge',
  arguments: {
    type: 'object',
    properties: {
      subscription: { type: 'string', minLength: 1 },
      tenant: { type: 'string', minLength: 1 },
      messages: { type: 'integer', minimum: 0 },
    },
    required: ['subscription', 'messages'],
    additionalProperties: false,
  },
  async run(sql, { declaration, author, reason }, { subscription, tenant, messages }) {
    await requireSubscription(sql, declaration.team, subscription)
    const selection = {
      subscription,
      ...(tenant === undefined ? {} : { tenant }),
      reasons: ['parked', 'paused', 'overflow', 'not-yet'] as const,
    }
    const found = await estimateLines(sql, selection)
    if (found.messages !== messages)
      throw new CountDiffers({ what: `waiting messages of ${subscription}`, given: messages, found: found.messages })
    const id = randomUUID()
    await sql.query(
      `insert into comity.jobs (id, kind, selection, author, reason, lines, messages, stop_above)
       values ($1::text, 'discard', $2::text, $3::text, $4::text, $5::int, $6::int, 1)`,
      [id, JSON.stringify(selection), author, reason, found.lines, found.messages],
    )
    return { job: id, ...found }
  },
}
