import type { Bus } from '../support/buses/bus.ts'
import type { CrashableServer } from '../support/crashable-server.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import type { Random } from './random.ts'
import type { TeamProcess } from './team-process-handle.ts'
import type { TeamName } from './teams.ts'
import type { World } from './world.ts'

export const FAULTS = [
  'kill-relay',
  'kill-handler',
  'kill-replica',
  'stop-relay',
  'stop-handler',
  'crash-owner',
  'crash-consumers',
  'crash-bus',
  'pause-bus',
  'reset-bus',
  'half-open-bus',
] as const
export type FaultName = (typeof FAULTS)[number]

/**
 * What may be done to this bus. The one in memory lives with whoever writes the history, and only its network can be hurt. Google's emulator keeps
 * everything in its memory: killed, it forgets its topics and all messages, which the service that it stands for never does; so it is put to sleep
 * instead.
 */
export function faultsOf({ broker }: Pick<Bus, 'broker'>): readonly FaultName[] {
  return FAULTS.filter((fault) => (fault !== 'crash-bus' || broker?.keepsMessages) && (fault !== 'pause-bus' || broker !== undefined))
}

/** A fault, and at what part of the run's changes (0 to 1) it comes. */
export interface ScheduledFault {
  readonly at: number
  readonly fault: FaultName
}

const TEAM_OF: Readonly<Partial<Record<FaultName, TeamName>>> = {
  'kill-relay': 'shop',
  'kill-handler': 'mail',
  'kill-replica': 'stock',
  'stop-relay': 'shop',
  'stop-handler': 'mail',
}

/** At least `kills` kills with -9, and between them the others that are allowed, in an order that only the seed decides. */
export function schedule(random: Random, kills: number, allowed: readonly FaultName[]): readonly ScheduledFault[] {
  const killing = allowed.filter((name) => name.startsWith('kill-'))
  const others = allowed.filter((name) => !name.startsWith('kill-'))
  const faults: FaultName[] = []
  for (let n = 0; n < kills && killing.length > 0; n++) faults.push(killing[n % killing.length] as FaultName)
  for (let n = 0; n < Math.ceil(kills / 4) && others.length > 0; n++) faults.push(others[n % others.length] as FaultName)
  return faults
    .map((fault) => ({ fault, order: random.next() }))
    .sort((a, b) => a.order - b.order)
    .map(({ fault }, n) => ({ fault, at: (n + 0.5) / faults.length }))
}

type Servers = Readonly<Record<'owner' | 'consumers', CrashableServer>>

/** Keeps so many processes of each team alive, and does to them and their servers what the schedule says. */
export class Nemesis {
  readonly #world: World
  readonly #random: Random
  readonly #servers: Servers
  readonly #proxy: TcpProxy
  readonly #alive: Record<TeamName, TeamProcess[]> = { shop: [], mail: [], stock: [] }
  readonly #supervised: Promise<void>[] = []
  #ending = false
  readonly done: Partial<Record<FaultName, number>> = {}

  constructor(options: { world: World; random: Random; servers: Servers; proxy: TcpProxy }) {
    this.#world = options.world
    this.#random = options.random
    this.#servers = options.servers
    this.#proxy = options.proxy
  }

  /** Two processes of each team; the second of each reaches the bus through the proxy. */
  async start(): Promise<void> {
    const teams: TeamName[] = ['shop', 'mail', 'stock']
    await Promise.all(
      teams.flatMap((team) =>
        [0, 1].map((n) => new Promise<void>((resolve) => this.#supervised.push(this.#supervise(team, n === 1, resolve)))),
      ),
    )
  }

  async #supervise(team: TeamName, proxied: boolean, running: () => void): Promise<void> {
    while (!this.#ending) {
      const { bus: direct } = this.#world
      const bus = proxied ? direct.through(this.#proxy) : direct.address
      const process = this.#world.launch(team, { bus, answerTimeout: 4000, library: proxied && team === 'mail' ? 'pg' : 'url' })
      this.#alive[team].push(process)
      process.ready.then(running, () => undefined)
      await process.exited
      this.#alive[team] = this.#alive[team].filter((other) => other !== process)
    }
  }

  /** Answers when the fault is over. */
  async inflict(fault: FaultName): Promise<void> {
    await this.#world.fault(fault, async () => {
      const really = await this.#do(fault)
      if (really) this.done[fault] = (this.done[fault] ?? 0) + 1
      return really
    })
  }

  async #do(fault: FaultName): Promise<boolean> {
    const team = TEAM_OF[fault]
    if (team !== undefined) {
      const victim = this.#random.pick(this.#alive[team])
      if (victim === undefined) return false
      if (fault.startsWith('kill-')) return victim.signal('SIGKILL')
      if (!victim.signal('SIGSTOP')) return false
      await pause(2500) // longer than relay lease, bucket lease; shorter than the session timeout
      return victim.signal('SIGCONT')
    }
    const { broker } = this.#world.bus
    if (fault === 'crash-owner') await this.#servers.owner.crash()
    else if (fault === 'crash-consumers') await this.#servers.consumers.crash()
    else if (fault === 'crash-bus') {
      await broker?.kill()
      await broker?.restart()
    } else if (fault === 'pause-bus') {
      broker?.pause()
      await pause(1500)
      broker?.resume()
    } else {
      const open = this.#proxy.open
      this.#proxy.disturb({ kind: fault === 'reset-bus' ? 'reset' : 'black-hole' })
      await pause(fault === 'reset-bus' ? 200 : 1500)
      this.#proxy.disturb({ kind: 'none' })
      return open > 0
    }
    return true
  }

  /** Nobody is started again, or stopped, from now on; whoever sleeps wakes up. */
  rest(): void {
    this.#proxy.disturb({ kind: 'none' })
    for (const process of Object.values(this.#alive).flat()) process.signal('SIGCONT')
  }

  async end(): Promise<void> {
    this.#ending = true
    await Promise.all(
      Object.values(this.#alive)
        .flat()
        .map((process) => process.kill()),
    )
    await Promise.all(this.#supervised)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
