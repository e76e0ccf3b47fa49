import { decorateTransport } from '../../packages/comity/src/transport/decorate-transport.ts'
import { watched } from '../../packages/comity/test/backfill/customers.ts'
import { type BusKind, openBus } from '../support/buses/bus-address.ts'
import { type Side, sides } from './sides.ts'

/** What a process of one of the two teams is told, as JSON in its first argument. */
export interface TeamProcessOptions {
  readonly side: Side
  readonly database: string
  readonly bus: string
  /** Default: Postgres. */
  readonly kind?: BusKind
  /** Of a bucket at the bus, in milliseconds. Default: as of everything else. */
  readonly bucketLease?: number
  /** It ends itself, by kill -9, at the n-th time that something of this pattern is to be done. */
  readonly kill?: { readonly at: string; readonly times: number }
}

/** Seconds. Short, for whoever is killed is waited for as long; on a machine that has no time for its processes, a second is lost by who lives, too. */
const LEASE = 4

const options = JSON.parse(process.argv[2] as string) as TeamProcessOptions
let seen = 0
function before(text: string): void {
  const { kill } = options
  if (kill === undefined || !new RegExp(kill.at).test(text.replaceAll(/\s+/g, ' '))) return
  if (++seen === kill.times) process.kill(process.pid, 'SIGKILL')
}

const bus = await openBus({ kind: options.kind ?? 'postgres', url: options.bus }, { bucketLease: options.bucketLease ?? LEASE * 1000 })
const transport = decorateTransport(bus, {
  async send(topic, messages, given) {
    before(`-- send ${topic}`)
    const results = await bus.send(topic, messages, given)
    before(`-- sent ${topic}`)
    return results
  },
})
const { side } = options
const team = sides[side].with({
  ...sides[side].options,
  database: watched(options.database, before) as never,
  transport,
  allowUnsafe: true,
  lease: `${LEASE}s`,
})
await team.start()
process.send?.('ready')
process.once('disconnect', () => process.exit(1))
