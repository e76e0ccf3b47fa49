import { type CopyingHandler, type CopyingSpeaker, type Heard, sayAboutCopy } from '../control/copying-channel.ts'
import { receiptsTopic } from '../control/erasure-topics.ts'
import { type Logger, logEvent, silentLogger } from '../foundation/index.ts'
import type { Database } from '../postgres/database.ts'
import type { Permit } from '../subscription/permits.ts'
import { brokerUntil } from './announcing.ts'
import { ERASURE, ERASURE_VERSION, type Erasure, RECEIPT, type Receipt } from './contracts.ts'
import { eraseHere } from './erase-here.ts'

const KNOWN = `
  select removed::text as removed, to_char(erased_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
  from comity.erased where erasure = $1::text::uuid`
const ERASED_AT = `
  select to_char(erased_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at from comity.erased where erasure = $1::text::uuid`

/**
 * What a holder does when its owner erases a key: it removes what it has in one transaction, says what that was, and acknowledges. A process that
 * ends anywhere is followed by one that finds what was removed, and says it again.
 */
export function erasuresHeard(options: {
  readonly owner: string
  /** Whether this contract is that owner's. */
  readonly isTheirs: (topic: string) => boolean
  readonly database: Database
  readonly speaker: CopyingSpeaker
  readonly permit: Permit
  readonly logger?: Logger
}): CopyingHandler<Erasure> {
  const { owner, isTheirs, database, speaker, permit, logger = silentLogger } = options

  async function erase({ data }: Heard<Erasure>): Promise<Receipt> {
    const { id, topic, key, version } = data
    // No team erases what is another's.
    if (!isTheirs(topic)) return receipt(data, new Date().toISOString(), [])
    // What is said again, because somebody else has forgotten it, stops nobody here.
    const known = (await database.query<{ removed: string; at: string }>(KNOWN, [id])).rows[0]
    if (known !== undefined) return receipt(data, known.at, JSON.parse(known.removed))
    const removed = await permit(() =>
      database.transaction((tx) => eraseHere(database.join(tx), { id, topic, key, version }, `the owner ${owner}`)),
    )
    const { rows } = await database.query<{ at: string }>(ERASED_AT, [id])
    return receipt(data, rows[0]?.at ?? new Date().toISOString(), removed)
  }

  function receipt({ id, at: announced }: Erasure, at: string, removed: Receipt['removed']): Receipt {
    const until = brokerUntil(new Date(announced), speaker.transport.guarantees.redeliveryWindow)
    return { v: ERASURE_VERSION, erasure: id, at, brokerUntil: until, removed }
  }

  return {
    contract: ERASURE,
    async handle(messages) {
      const receipts: Receipt[] = []
      // All of them first: that one can't be said must keep none from being done.
      for (const message of messages) receipts.push(await erase(message))
      await sayAboutCopy(
        speaker,
        receiptsTopic(owner),
        receipts.map((data) => ({ contract: RECEIPT, replica: `${speaker.team}.receipt`, data })),
      )
      for (const { erasure } of receipts) logEvent(logger, 'comity.erasure.done', { sender: owner, job: erasure })
      return messages.map(() => 'ack')
    },
  }
}
