import { setTimeout as sleep } from 'node:timers/promises'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { until } from '../../../../test/chaos/until.ts'
import { full } from '../../../../test/support/full.ts'
import { crm, message, send } from './sent-messages.ts'

const OTHERS = ['a', 'b', 'c', 'd', 'e']
const FLOOD = 600
/** Milliseconds of a handler. Three run at once: of what is offered in the flood, less than a half can be handled. */
const HANDLER = 30

test.each([
  ['what is in the process already', { prefetch: 2000 }],
  ['what is at the broker still', { prefetch: 80 }],
])(
  'whoever comes after a flood does not wait for %s',
  async (_where, options) => {
    const bus = testBus()
    const handled: string[] = []
    const handle = async ({ agency }: { readonly agency: string }) => {
      await sleep(2)
      handled.push(agency)
    }
    await using team = await crm(bus, handle, options)
    await send(bus, ...OTHERS.map((agency, n) => message(`${agency}0`, n, agency)))
    await team.caughtUp()
    handled.length = 0
    await send(bus, ...Array.from({ length: FLOOD }, (_, n) => message(`f${n % 50}`, n, 'flooder')))
    await until('the flood is under way', () => handled.length > 20)
    await send(bus, ...OTHERS.flatMap((agency) => [1, 2].map((n) => message(`${agency}${n}`, n, agency))))
    await until('the others have been handled', () => handled.filter((agency) => agency !== 'flooder').length >= 2 * OTHERS.length, 60_000)
    expect(handled.filter((agency) => agency === 'flooder').length).toBeLessThan((FLOOD * 7) / 15)
  },
  90_000,
)

// By the clock, so only where the machine is this test's alone; the order is what the ones above are about.
test.runIf(full)(
  "a tenant floods ten times what all others send: the others' p99 stays below twice their own",
  async () => {
    const bus = testBus()
    const sentAt = new Map<number, number>()
    const latencies = { calm: [] as number[], flood: [] as number[] }
    let phase: 'calm' | 'flood' = 'calm'
    const during = new Map<number, 'calm' | 'flood'>()
    let flooded = 0
    const handle = async ({ agency, n }: { readonly agency: string; readonly n: number }) => {
      await sleep(HANDLER)
      if (agency === 'flooder') flooded++
      else latencies[during.get(n) as 'calm' | 'flood'].push(performance.now() - (sentAt.get(n) as number))
    }
    await using team = await crm(bus, handle, { prefetch: 500 })
    let n = 0
    let floodSent = 0
    const next = (agency: string) => {
      n++
      sentAt.set(n, performance.now())
      during.set(n, phase)
      return message(`${agency}${n % 20}`, n, agency)
    }
    const run = async (turns: number) => {
      for (let turn = 0; turn < turns; turn++) {
        const flood = phase === 'flood' ? Array.from({ length: 10 }, () => next('flooder')) : []
        floodSent += flood.length
        await send(bus, ...flood, next(OTHERS[turn % OTHERS.length] as string))
        await sleep(50)
      }
    }
    await send(bus, next('a'))
    await team.caughtUp()
    latencies.calm.length = 0
    await run(110)
    await until('the calm is over', () => latencies.calm.length === 110)
    phase = 'flood'
    await run(110)
    const left = floodSent - flooded
    await until('the others have been handled', () => latencies.flood.length === 110, 60_000)
    const p99 = { calm: quantile(latencies.calm, 0.99), flood: quantile(latencies.flood, 0.99) }
    expect(left, 'what was offered could be handled: no flood').toBeGreaterThan(150)
    expect(p99.flood).toBeLessThan(2 * p99.calm)
  },
  120_000,
)

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] as number
}
