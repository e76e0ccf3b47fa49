import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Bus, LaunchBusOptions } from '../support/buses/bus.ts'
import type { BusKind } from '../support/buses/bus-address.ts'
import { launchBus, missing } from '../support/buses/launch-bus.ts'
import { full } from '../support/full.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import { MEMORY, memoryOf } from './gauges.ts'
import type { Load } from './load.ts'
import { quantile } from './measurement.ts'
import { monotonic } from './recorder.ts'
import { scenario } from './scenario.ts'
import { until } from './until.ts'
import type { World } from './world.ts'

/** A fault of the broker or of the network before it, and how long it lasts, in milliseconds. */
interface BrokerFault {
  readonly name: string
  readonly lasts: number
  begin(world: World, proxy: TcpProxy): Promise<void> | void
  end(world: World, proxy: TcpProxy): Promise<void> | void
}

/** What the broker forgets when it is killed is no promise of anybody's: such a one sleeps instead. */
const DOWN: Pick<BrokerFault, 'begin' | 'end'> = {
  async begin({ bus: { broker } }) {
    if (broker?.keepsMessages) await broker.kill()
    else broker?.pause()
  },
  async end({ bus: { broker } }) {
    if (broker?.keepsMessages) await broker.restart()
    else broker?.resume()
  },
}
const heal = (_world: World, proxy: TcpProxy): void => proxy.disturb({ kind: 'none' })

const LOST = 'one reply in a hundred lost'

const FAULTS: readonly BrokerFault[] = [
  { name: 'down and up again', lasts: full ? 10_000 : 1000, ...DOWN },
  { name: 'partitioned', lasts: full ? 60_000 : 3000, begin: (_, proxy) => proxy.disturb({ kind: 'reset' }), end: heal },
  { name: 'half-open', lasts: full ? 60_000 : 6000, begin: (_, proxy) => proxy.disturb({ kind: 'black-hole' }), end: heal },
  {
    name: LOST,
    lasts: full ? 60_000 : 4000,
    begin: (_, proxy) => proxy.disturb({ kind: 'lose-replies', oneIn: 100 }),
    end: heal,
  },
]
/** Messages that wait when a fault is over; the environment can make the long form smaller. */
const BACKLOG = Number(process.env.BROKER_BACKLOG ?? (full ? 100_000 : 200))
/** Messages that are written while the broker is down. */
const WRITTEN = Number(process.env.BROKER_WRITTEN ?? 500_000)
/** How many of these in a transaction of their own, which is timed. */
const SMALL = Math.min(WRITTEN / 10, 20_000)
/** In milliseconds, after the fault. */
const DRAINED_WITHIN = 60_000
const TENANTS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const

const kinds: readonly BusKind[] = full ? ['postgres', 'nats', 'google-pubsub'] : ['nats']
for (const kind of kinds) {
  const reason = await missing(kind)
  if (reason !== undefined) test.skip(`${kind}: faults of the broker (skipped: ${reason})`)
  else broker(kind)
}

function broker(kind: BusKind): void {
  const bus = (options: LaunchBusOptions): Promise<Bus> => launchBus(kind, { ...options, own: true })

  scenario(
    `${kind}: down, partitioned, half-open, replies lost, ${BACKLOG} messages behind each: nothing lost, nothing twice, in order`,
    async ({ world, judge }) => {
      const { proxy, load, memory } = await begin(world)
      for (const fault of FAULTS) {
        await world.fault(fault.name, async () => {
          const open = proxy.open
          await fault.begin(world, proxy)
          const over = pause(fault.lasts)
          await publish(load, BACKLOG)
          await over
          await fault.end(world, proxy)
          return open > 0 && (fault.name !== LOST || proxy.repliesLost > 0)
        })
        const ms = await drained(world)
        print({ name: 'broker-fault', transport: kind, fault: fault.name, lasted: fault.lasts, backlog: BACKLOG, drainedAfter: ms })
        if (full) expect(ms, `after ${fault.name}`).toBeLessThan(DRAINED_WITHIN)
      }
      memory.stop()
      await judge({ bounds: memory.bounds })
    },
    { bus, timeout: full ? 1_200_000 : 90_000 },
  )

  scenario(
    `${kind}: down while ${WRITTEN} messages are written: who writes does not notice, and all of them come, in order`,
    async ({ world, judge }) => {
      const { proxy, load, memory } = await begin(world)
      const up = await businessLatency(load)
      await drained(world)
      let down = Number.NaN
      await world.fault('down while much is written', async () => {
        await DOWN.begin(world, proxy)
        await publish(load, WRITTEN - SMALL)
        down = await businessLatency(load)
        await DOWN.end(world, proxy)
      })
      const ms = await drained(world)
      const worst = Math.max(...memory.stop().map((bound) => bound.worst))
      const ratio = Number((down / up).toFixed(3))
      print({ name: 'broker-down', transport: kind, messages: WRITTEN, p99: { up, down }, ratio, drainedAfter: ms, mostMemory: worst })
      expect(ratio).toBeLessThan(1.1)
      await judge({ bounds: memory.bounds })
    },
    { bus, long: true, timeout: 1_200_000 },
  )
}

/** A process of each team, which reaches the broker through the proxy, and has been seen to work. */
async function begin(world: World): Promise<{ proxy: TcpProxy; load: Load; memory: ReturnType<typeof watchMemory> }> {
  const proxy = await world.proxy('bus')
  // Two cores have more to give to a backlog than three transactions at once take.
  const through = { bus: world.bus.through(proxy), answerTimeout: 4000, concurrency: 5 }
  await Promise.all((['shop', 'mail', 'stock'] as const).map((team) => world.spawn(team, through)))
  const load = await world.load()
  await load.publish([...TENANTS])
  await drained(world)
  return { proxy, load, memory: watchMemory(world) }
}

/** For the handler and for the copy one half each, fifty in a transaction. */
async function publish(load: Load, messages: number): Promise<void> {
  for (let n = 0; n < messages; n += 100) {
    await load.publish(Array.from({ length: 50 }, (_, i) => TENANTS[i % TENANTS.length] as string))
    await load.reprice(50)
  }
}

/** Of {@link SMALL} transactions, one after the other, p99 in milliseconds. */
async function businessLatency(load: Load): Promise<number> {
  const took: number[] = []
  for (let n = 0; n < SMALL; n++) {
    const from = monotonic()
    await load.publish([TENANTS[n % TENANTS.length] as string])
    took.push(monotonic() - from)
  }
  return Number(quantile(took, 0.99).toFixed(2))
}

/** @returns how long that took, in milliseconds */
async function drained(world: World): Promise<number> {
  const from = performance.now()
  await until('everything has ended', () => world.isDrained().catch(() => false), 10 * DRAINED_WITHIN)
  return Math.round(performance.now() - from)
}

function watchMemory(world: World) {
  const worst = new Map<string, number>()
  const look = (): void => {
    for (const { alive, pid, name } of world.processes) if (alive) worst.set(name, Math.max(worst.get(name) ?? 0, memoryOf(pid)))
    timer = setTimeout(look, 200)
  }
  let timer = setTimeout(look, 200)
  return {
    get bounds() {
      return [...worst].map(([component, value]) => ({ component, of: 'memory in MB', worst: value, limit: MEMORY }))
    },
    stop() {
      clearTimeout(timer)
      return this.bounds
    },
  }
}

function print(line: object): void {
  console.log(JSON.stringify(line))
}
