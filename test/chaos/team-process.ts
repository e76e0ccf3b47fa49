import { appendFileSync, existsSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'comity'
import { fromPg } from 'comity/pg'
import { adversarialTransport } from 'comity/testing'
import type { Transport } from 'comity/transport'
import { Pool } from 'pg'
import { type BusAddress, openBus } from '../support/buses/bus-address.ts'
import { type Failpoint, Failpoints } from './failpoint.ts'
import { Recorder } from './recorder.ts'
import { recordingTransport } from './recording-transport.ts'
import { type AnyTeam, chaosTeam, type HandlerSettings, type TeamName } from './teams.ts'

/** What a team's process is told, as JSON in its first argument. */
export interface TeamProcessOptions {
  readonly team: TeamName
  /** Its name in the history. */
  readonly name: string
  readonly folder: string
  readonly database: string
  /** Comity's own pool, or the user's. */
  readonly library: 'url' | 'pg'
  readonly bus: BusAddress
  readonly relay: boolean
  readonly subscriptions: boolean
  /** Of the relay. */
  readonly lease: `${number}ms`
  /** Of a bucket at the bus, in milliseconds. */
  readonly bucketLease: number
  /** Transactions of its subscriptions at once. */
  readonly concurrency: number
  /** How long a transaction may be idle or a statement run. */
  readonly sessionTimeout: `${number}ms`
  readonly failpoints: readonly Failpoint[]
  readonly handling: HandlerSettings
  /** Milliseconds that each effect takes. */
  readonly slowness: number
  /** Effects that fail: of messages whose mark stands in this file, one a line. */
  readonly poison: string | undefined
  /** A file with a {@link Deploy}, which counts from when it is written. */
  readonly deploy: string | undefined
  /** Of every so many messages' handlers, one catches an SQL error; 0 = none does. */
  readonly swallowing: number
  /** The seed of an adversary between the team and the bus. */
  readonly adversary: number | undefined
  /** After how long a silent connection to the bus is given up. */
  readonly answerTimeout: number
}

/** What the handlers' code is like at the moment. */
export interface Deploy {
  /** Every handler fails. */
  readonly broken?: boolean
  /** Handlers fail on each message whose mark ends in a multiple of this. */
  readonly poisonEvery?: number
}

async function main(options: TeamProcessOptions): Promise<void> {
  const recorder = new Recorder(options.folder, options.name)
  const failpoints = new Failpoints(options.failpoints)
  const pool = new Pool({ connectionString: options.database, max: 6, connectionTimeoutMillis: 5000, keepAlive: true })
  const timeout = Number.parseInt(options.sessionTimeout, 10)
  // What stands in a URL wins over the defaults of Comity's own pool.
  const url = `${options.database}?statement_timeout=${timeout}&idle_in_transaction_session_timeout=${timeout}&query_timeout=${timeout + 1000}&application_name=${options.name}`
  let committing = false
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    Object.assign(client, {
      query(...args: unknown[]) {
        if (committing && /^commit/i.test(String(args[0]))) failpoints.pass('before-commit')
        return query(...args)
      },
    })
  })
  const running = chaosTeam(
    options.team,
    {
      database: options.library === 'pg' ? (fromPg(pool, { sessionTimeout: options.sessionTimeout }) as never) : url,
      transport: await busOf(options, recorder, failpoints),
      relay: options.relay,
      subscriptions: options.subscriptions,
      lease: options.lease,
      concurrency: options.concurrency,
      allowUnsafe: true,
      logger: fileLogger(join(options.folder, `${options.name}.log`)),
    },
    {
      async beforeEffect(message) {
        failpoints.pass('before-effect')
        if (message.mark !== null && isPoison(options.poison, message.mark)) throw new Error(`poison: ${message.mark}`)
        const { broken = false, poisonEvery } = deployOf(options.deploy)
        if (broken) throw new Error('a bad deploy')
        if (poisonEvery !== undefined && Number(message.mark?.split(':').at(-1)) % poisonEvery === 0) throw new TypeError('poison')
        if (options.slowness > 0) await new Promise((resolve) => setTimeout(resolve, options.slowness))
      },
      swallows: ({ version }) => options.swallowing > 0 && version % options.swallowing === 0,
      afterEffect() {
        committing = true
        failpoints.pass('after-effect')
      },
    },
    options.handling,
  )
  await start(running)
  process.send?.('ready')
  process.on('message', ({ subscription, key }: { subscription: string; key: string }) => {
    running.retry(subscription, key).then(
      ({ ran, error }) => process.send?.({ ran, error: error === undefined ? undefined : String(error) }),
      (error: unknown) => process.send?.({ ran: 0, error: String(error) }),
    )
  })
  process.once('SIGTERM', () => {
    void running
      .stop()
      .then(() => pool.end())
      .then(() => process.exit(0))
  })
  // Whoever started it is gone.
  process.once('disconnect', () => process.exit(1))
}

function isPoison(file: string | undefined, mark: string): boolean {
  return file !== undefined && existsSync(file) && readFileSync(file, 'utf8').split('\n').includes(mark)
}

function deployOf(file: string | undefined): Deploy {
  return file === undefined || !existsSync(file) ? {} : (JSON.parse(readFileSync(file, 'utf8')) as Deploy)
}

/** A supervisor would start it again until its database and the bus are there. */
async function start(running: AnyTeam): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await running.start()
    } catch (error) {
      if (attempt === 40) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

async function busOf(options: TeamProcessOptions, recorder: Recorder, failpoints: Failpoints): Promise<Transport> {
  const bus = await openBus(options.bus, options)
  const stopping: Transport = failpoints.has('mid-send') ? halfSending(bus, failpoints) : bus
  const adverse =
    options.adversary === undefined
      ? stopping
      : adverseBus(stopping, options.adversary, join(options.folder, `${options.name}.misdeeds.json`))
  return recordingTransport(adverse, recorder, {
    // Of the relay: control says what it says whenever it likes.
    beforeSend: (topic) => (topic.startsWith('comity.') ? undefined : failpoints.pass('before-send')),
    afterSend: (topic) => (topic.startsWith('comity.') ? undefined : failpoints.pass('after-send')),
    beforeAcknowledge: () => failpoints.pass('before-acknowledge'),
  })
}

/** What it has done by then is written down now and then: nobody asks a process that is killed. */
function adverseBus(bus: Transport, seed: number, file: string): Transport {
  const adverse = adversarialTransport(bus, { seed, prefetch: 16 })
  const write = (): void => {
    writeFileSync(`${file}.new`, JSON.stringify(adverse.misdeeds))
    renameSync(`${file}.new`, file)
    setTimeout(write, 250).unref()
  }
  write()
  return adverse
}

/** A batch of which the broker has stored the first half when the process dies. */
function halfSending(bus: Transport, failpoints: Failpoints): Transport {
  return {
    ...bus,
    async send(topic, messages, options) {
      if (messages.length > 1 && failpoints.isNext('mid-send'))
        await bus.send(topic, messages.slice(0, Math.ceil(messages.length / 2)), options)
      if (messages.length > 1) failpoints.pass('mid-send')
      return bus.send(topic, messages, options)
    },
  }
}

function fileLogger(file: string): Logger {
  const out = openSync(file, 'a')
  const log = (level: string) => (fields: object, message: string) => {
    writeSync(out, `${JSON.stringify({ at: new Date().toISOString(), pid: process.pid, level, message, ...fields })}\n`)
  }
  return { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') } as Logger
}

const options = JSON.parse(process.argv[2] as string) as TeamProcessOptions
main(options).catch((error: unknown) => {
  appendFileSync(join(options.folder, `${options.name}.log`), `${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(1)
})
