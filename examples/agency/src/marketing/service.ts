/** Marketing's process: Comity's relay and subscriptions, and beside them Marketing's own work, which sends the emails. */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { runService } from '../story/run-service.ts'
import { type Campaign, confirmNext, launch, sendByHand, sendNext, unfinished } from './campaigns.ts'
import marketing from './comity.config.ts'

/** The role of an application: it may publish, and read Marketing's copies. */
const pool = new pg.Pool({ connectionString: process.env.MARKETING_WRITER_URL })

/** What the mail provider takes in one call, and how long it wants to be left alone afterwards (milliseconds). */
const MAILS_PER_CALL = 50
const BETWEEN_CALLS = 25

async function sendEmails(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const [campaign] = await unfinished(pool)
    const sent = campaign === undefined ? 0 : await sendNext(pool, campaign, MAILS_PER_CALL)
    const delivered = await confirmNext(pool, MAILS_PER_CALL)
    await delay(sent + delivered > 0 ? BETWEEN_CALLS : 4 * BETWEEN_CALLS)
  }
}

await runService(marketing, {
  work: sendEmails,
  commands: {
    launch: (campaign: Campaign) => launch(pool, campaign),
    sendByHand: ({ campaignId, customerId }: { campaignId: string; customerId: string }) => sendByHand(pool, campaignId, customerId),
  },
})
await pool.end()
