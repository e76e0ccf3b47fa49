import { team } from 'comity'
import { Customer, withClient } from './stage.ts'

// The consuming side of `end-to-end`, in a process of its own: says when it runs, and when it holds as many rows as it was asked for.
const keeperUrl = process.env.KEEPER_URL as string
const keeper = team('keeper', { database: keeperUrl, transport: process.env.BUS_URL as string }).keeps(Customer, {
  fields: ['agencyId', 'email', 'name', 'city', 'note'],
})
await keeper.migrate()
await keeper.provision()
await keeper.start()
process.send?.({ running: true })

process.on('message', async (message: { waitFor?: number; stop?: boolean }) => {
  if (message.waitFor !== undefined) {
    const cpu = process.cpuUsage()
    await rows(message.waitFor)
    const { user, system } = process.cpuUsage(cpu)
    process.send?.({ cpuMicros: user + system })
  }
  if (message.stop) {
    await keeper.stop()
    process.exit()
  }
})

/** Counting 100 k rows costs milliseconds, so it is done rarely: the applied count of the lanes is read instead. */
async function rows(wanted: number): Promise<void> {
  await withClient(keeperUrl, async (client) => {
    for (;;) {
      const { rows } = await client.query<{ applied: string }>('select sum(applied) as applied from comity.counts')
      if (Number(rows[0]?.applied) >= wanted) return
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
}
