import { adversarialTransport } from 'comity/testing'
import { decorateTransport } from '../../packages/comity/src/transport/decorate-transport.ts'
import { watched } from '../../packages/comity/test/backfill/customers.ts'
import { openBus } from '../support/buses/bus-address.ts'
import { type Side, sides } from './sides.ts'

/** What a process of one of the teams is told, as JSON in its first argument. */
export interface TeamProcessOptions {
  readonly side: Side
  readonly database: string
  readonly bus: string
  /** What comes, comes again, late and in another order of keys. */
  readonly adversary?: number
  /** It ends itself, by kill -9, at the n-th time that something of this pattern is to be done. */
  readonly kill?: { readonly at: string; readonly times: number }
}

/** Seconds; whoever is killed is waited for as long. */
const LEASE = 4

const options = JSON.parse(process.argv[2] as string) as TeamProcessOptions
let seen = 0
function before(text: string): void {
  const { kill } = options
  if (kill === undefined || !new RegExp(kill.at).test(text.replaceAll(/\s+/g, ' '))) return
  if (++seen === kill.times) process.kill(process.pid, 'SIGKILL')
}

const opened = await openBus({ kind: 'postgres', url: options.bus }, { bucketLease: LEASE * 1000 })
const bus = options.adversary === undefined ? opened : adversarialTransport(opened, { seed: options.adversary, longest: 50 })
const transport = decorateTransport(bus, {
  async send(topic, messages, given) {
    before(`-- send ${topic}`)
    const results = await bus.send(topic, messages, given)
    before(`-- sent ${topic}`)
    return results
  },
})
const team = sides[options.side].with({
  database: watched(options.database, before) as never,
  transport,
  allowUnsafe: true,
  lease: `${LEASE}s`,
})
await team.start()
process.send?.('ready')
process.once('disconnect', () => process.exit(1))
