import { team } from 'comity'
import { Customer } from './publishing.ts'

// A process that only publishes, and ends without closing anything; as a serverless function would.
const crm = team('crm', { database: process.argv[2] as string }).owns(Customer)
await crm.environment.database.transaction(async (tx) => {
  const version = await crm.publish(tx, Customer, { id: 'c1', agencyId: 'a1', email: 'jane@example.com' })
  process.stdout.write(`${version}\n`)
})
