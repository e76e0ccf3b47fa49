/** A process that launches a server and then ends in the way that its first argument says. */
import { launchPostgres } from '@comity/embedded-postgres'

const [ending, directory] = process.argv.slice(2)
const postgres = await launchPostgres({ durable: false, ...(directory ? { directory } : {}) })
if (ending === 'finish work') {
  setTimeout(() => {}, 600_000)
  process.once('SIGINT', async () => {
    await postgres.createDatabase('late')
    console.log('finished')
    process.exit()
  })
}
console.log(JSON.stringify({ pid: postgres.pid, directory: postgres.directory, port: postgres.port }))
if (ending === 'exit') process.exit(3)
if (ending === 'throw') throw new TypeError('on purpose')
if (ending === 'wait') setTimeout(() => {}, 600_000)
