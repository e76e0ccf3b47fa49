import { contactTeam } from './contact.ts'

// One side of `backfill`, in a process of its own: says when it runs; answers each message with the processor time that it has used so far.
const running = contactTeam(process.env.SIDE as 'owner' | 'keeper', process.env.DATABASE_URL as string, process.env.BUS_URL as string)
await running.start()
process.send?.({ running: true })

process.on('message', async (message: 'used' | 'stop') => {
  if (message === 'stop') {
    await running.stop()
    process.exit()
  }
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuMicros: user + system })
})
