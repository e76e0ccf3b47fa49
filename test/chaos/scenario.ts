import { fileURLToPath } from 'node:url'
import type { Judgement } from 'comity/testing'
import { expect, test } from 'vitest'
import type { Bus, LaunchBusOptions } from '../support/buses/bus.ts'
import type { BusKind } from '../support/buses/bus-address.ts'
import { launchBus } from '../support/buses/launch-bus.ts'
import { CrashableServer } from '../support/crashable-server.ts'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { World } from './world.ts'

export interface ScenarioOptions {
  /** The owner's database, or those of both consumers, on a server of their own, which can crash. */
  readonly crashable?: boolean | 'consumers'
  readonly seed?: number
  /** How long a life of a team must be silent at the bus before another may follow, in milliseconds. */
  readonly claimSilence?: number
  readonly timeout?: number
  /** In the long form of the tests only: its fault is one of the short chaos run too, or its like is tried in the short form. */
  readonly long?: boolean
  /** Default: that of the environment's CHAOS_TRANSPORT, or the Postgres transport. */
  readonly bus?: (options: LaunchBusOptions) => Promise<Bus>
}
export interface ScenarioContext {
  readonly world: World
  /** That which is crashable. */
  readonly server: CrashableServer
  /** Drains, and asks the checker. What follows may look at the counts. */
  judge(options?: Omit<Parameters<World['judge']>[0], 'timeout'>): Promise<Judgement>
}

const usual = (options: LaunchBusOptions): Promise<Bus> => launchBus((process.env.CHAOS_TRANSPORT ?? 'postgres') as BusKind, options)

/** One scenario of FAILURES section 3: injects its fault, and ends with a drain and the history checker. */
export function scenario(name: string, run: (context: ScenarioContext) => Promise<void>, options: ScenarioOptions = {}): void {
  const { seed = 1, timeout = 90_000, long = false } = options
  if (long && !full) {
    test.skip(`${name} (left out of the short form)`)
    return
  }
  test(name, { timeout: timeout + 30_000 }, async () => {
    const server = options.crashable ? await CrashableServer.start() : undefined
    const folder = fileURLToPath(new URL(`../output/scenario-${name.replace(/[^a-z0-9]+/gi, '-').slice(0, 60)}/`, import.meta.url))
    const fresh = async (): Promise<string> => (await freshDatabase({ migrated: true })).url
    const consumers = options.crashable === 'consumers'
    const [shop, mail, stock] = await Promise.all([
      (consumers ? undefined : server?.createDatabase('shop')) ?? fresh(),
      (consumers ? server?.createDatabase('mail') : undefined) ?? fresh(),
      (consumers ? server?.createDatabase('stock') : undefined) ?? fresh(),
    ])
    const bus = await (options.bus ?? usual)({ claimSilence: options.claimSilence ?? 1000 })
    const world = await World.create({ seed, folder, urls: { shop, mail, stock }, bus })
    let judged = false
    const judge = async (given: Parameters<ScenarioContext['judge']>[0] = {}): Promise<Judgement> => {
      judged = true
      const judgement = await world.judge({ ...given, timeout })
      const told = judgement.violations.map((violation) => `${violation.class} ${violation.part ?? ''}: ${violation.detail}`)
      expect(told, `${JSON.stringify(judgement.counts.violations)}, seed ${seed}, history in ${folder}`).toEqual([])
      expect(judgement.valid, judgement.reason).toBe(true)
      return judgement
    }
    try {
      await run({ world, server: server as CrashableServer, judge })
      if (!judged) await judge()
    } finally {
      await world.close()
      await server?.close()
    }
  })
}
