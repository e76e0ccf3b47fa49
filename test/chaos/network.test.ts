import { expect } from 'vitest'
import { shortAndFull } from '../support/full.ts'
import type { Disturbance, TcpProxy } from '../support/tcp-proxy.ts'
import { scenario } from './scenario.ts'
import type { TeamName } from './teams.ts'

const PAIRS: readonly (readonly [team: TeamName, database: TeamName | 'bus'])[] = [
  ['shop', 'shop'],
  ['shop', 'bus'],
  ['mail', 'bus'],
  ['mail', 'mail'],
  ['stock', 'bus'],
  ['stock', 'stock'],
]
const DISTURBANCES = shortAndFull<Disturbance>(
  [{ kind: 'black-hole' }, { kind: 'reset' }],
  [{ kind: 'drop-replies' }, { kind: 'cut', afterBytes: 20_000 }, { kind: 'delay', ms: 30 }],
)

scenario(
  `21. the network between every two parts, disturbed in turn (${DISTURBANCES.map(({ kind }) => kind).join(', ')}): noticed, reconnected, nothing lost`,
  async ({ world, judge }) => {
    const proxies = await Promise.all(PAIRS.map(async ([team, database]) => ({ team, database, proxy: await world.proxy(database) })))
    const between = (team: TeamName, database: TeamName | 'bus'): TcpProxy =>
      (proxies.find((pair) => pair.team === team && pair.database === database) as (typeof proxies)[number]).proxy
    for (const team of ['shop', 'mail', 'stock'] as const) {
      await world.spawn(team, {
        database: between(team, team).through(world.urls[team]),
        bus: world.bus.through(between(team, 'bus')),
        ...{ sessionTimeout: '1500ms', answerTimeout: 2000 },
      })
    }
    for (const disturbance of DISTURBANCES) {
      await world.write({ changes: 20, connections: 2 })
      const writing = world.write({ changes: 100, connections: 4 })
      for (const { team, database, proxy } of proxies) {
        await world.fault(`${disturbance.kind} between ${team} and ${database}`, async () => {
          const open = proxy.open
          proxy.disturb(disturbance)
          await new Promise((resolve) => setTimeout(resolve, 500))
          return open > 0
        })
        proxy.disturb({ kind: 'none' })
      }
      await writing
      // Half-open connections are given up after 2 to 2.5 s here (20 s by default), and then all of it arrives.
      expect(await world.drain(60_000), `after ${disturbance.kind}`).toBe(true)
    }
    await judge()
  },
  { timeout: 180_000 },
)
