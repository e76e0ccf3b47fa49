import { adversarialTransport } from 'comity/testing'
import type { OutgoingMessage, SendResult, Transport } from 'comity/transport'
import type { Database } from '../../packages/comity/src/postgres/database.ts'
import type { Queryable } from '../../packages/comity/src/postgres/index.ts'
import { decorateTransport } from '../../packages/comity/src/transport/decorate-transport.ts'
import { watched } from '../../packages/comity/test/backfill/customers.ts'
import { type BusKind, openBus } from './buses/bus-address.ts'

/** When a process ends itself, by kill -9. */
export interface Kill {
  /** A pattern of what is about to be done: SQL; `-- send <topic>`, `-- sent <topic>`, `-- hand over <topic>` in one bucket; `-- committed`. */
  readonly at: string
  /** The how manieth of these. */
  readonly times: number
  /** Nothing counts before something of this pattern. */
  readonly after?: string
}

/** What a process that may be killed is told, through JSON. */
export interface KilledProcessOptions {
  readonly database: string
  readonly bus: string
  /** Default: Postgres. */
  readonly kind?: BusKind
  /** Of a bucket at the bus, in milliseconds. Default: as of everything else. */
  readonly bucketLease?: number
  /** What comes, comes again, late and in another order of keys. */
  readonly adversary?: number
  readonly kill?: Kill
}

/** Seconds. Short, for whoever is killed is waited for as long; on a machine that has no time for its processes, a second is lost by who lives, too. */
const LEASE = 4

/** What a team of this process is to use: it kills the process at the moment that it was told. */
export async function killedProcess(options: KilledProcessOptions): Promise<{
  readonly database: Database<Queryable>
  readonly transport: Transport
  readonly allowUnsafe: true
  readonly lease: `${number}s`
}> {
  const { kind = 'postgres', bucketLease = LEASE * 1000, adversary, kill } = options
  let begun = kill?.after === undefined
  let seen = 0
  const before = (text: string): void => {
    if (kill === undefined) return
    const said = text.replaceAll(/\s+/g, ' ')
    if (!begun) begun = new RegExp(kill.after as string).test(said)
    else if (new RegExp(kill.at).test(said) && ++seen === kill.times) process.kill(process.pid, 'SIGKILL')
  }
  const opened = await openBus({ kind, url: options.bus }, { bucketLease })
  const bus = adversary === undefined ? opened : adversarialTransport(opened, { seed: adversary, longest: 50 })
  async function send(
    topic: string,
    messages: readonly OutgoingMessage[],
    given: Parameters<Transport['send']>[2],
  ): Promise<readonly SendResult[]> {
    before(`-- send ${topic}`)
    const results = await bus.send(topic, messages, given)
    before(`-- sent ${topic}`)
    return results
  }
  const transport = decorateTransport(bus, {
    async send(topic, messages, given) {
      if (messages[0]?.attributes['comity-mark'] !== 'handing-over') return send(topic, messages, given)
      // A broker takes them one after the other, each into its bucket.
      const results: SendResult[] = []
      for (const message of messages) {
        before(`-- hand over ${topic}`)
        results.push(...(await bus.send(topic, [message], given)))
      }
      return results
    },
  })
  return { database: watched(options.database, before), transport, allowUnsafe: true, lease: `${LEASE}s` }
}

/** Tells who started this process that it runs, and ends with it. */
export function runsForItsParent(): void {
  process.send?.('ready')
  process.once('disconnect', () => process.exit(1))
}
