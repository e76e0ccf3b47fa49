import { type Backfill, listBackfills } from 'comity/admin'
import type { Director } from './director.ts'
import type { Joined } from './figures.ts'
import type { Narrator } from './narrator.ts'
import type { Installation } from './set-up.ts'

/** Billing joins while the others write: its copy fills by itself, and nobody else changes a line or restarts. */
export async function billingJoins(installation: Installation, director: Director, narrator: Narrator): Promise<Joined> {
  narrator.chapter('A fourth team joins: Billing')
  const began = performance.now()
  const ready = await installation.join()
  const { pid } = await director.start('billing')
  let backfill: Backfill | undefined
  const look = await director.until(
    'customers in the copy of Billing',
    () => backfill?.state === 'ready',
    ({ holds }) => ({ done: holds.billing?.copies ?? 0, of: Math.max(holds.crm.customers, holds.billing?.copies ?? 0) }),
    async () => {
      backfill = (await listBackfills(ready.team.environment)).find(({ side }) => side === 'copy')
    },
  )
  const seconds = Math.round((performance.now() - began) / 100) / 10
  narrator.say(
    `It declares one line, .keeps(Customer, { fields: ['name'] }). From its empty database to a complete copy took ${seconds} s (pid ${pid}): ` +
      `${look.holds.billing?.copies.toLocaleString('en')} customers, while CRM's clerks went on. CRM and Marketing were not restarted; CRM sent what ` +
      'holds now to Billing alone.',
  )
  await director.pause()
  return { rows: backfill?.rows ?? 0, seconds }
}
