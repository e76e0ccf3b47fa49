import { expect, test } from 'vitest'
import { type Loop, type LoopOptions, loop } from '../../src/foundation/index.ts'
import { ManualClock } from './manual-clock.ts'

type Turn = 'busy' | 'idle' | Error

/** A loop whose turns the test has written down; when they have run out, it is idle. */
function scripted(turns: Turn[], more: Partial<LoopOptions> = {}) {
  const clock = new ManualClock()
  const troubles: unknown[] = []
  let ran = 0
  const made: Loop = loop({
    name: 'scripted',
    poll: { min: 10, max: 100 },
    clock,
    onTrouble: (error) => troubles.push(error),
    async runOnce() {
      ran++
      const turn = turns.shift() ?? 'idle'
      if (turn instanceof Error) throw turn
      return turn
    },
    ...more,
  })
  return {
    loop: made,
    clock,
    troubles,
    get ran() {
      return ran
    },
    /** Lets the wait that the loop is in end; answers how long it was. */
    async waited(): Promise<number> {
      const ms = await clock.asleep()
      clock.pass(ms)
      return ms
    },
  }
}

test('waits longer the longer there is nothing to do, and eagerly again after something', async () => {
  await using scene = disposing(scripted(['busy', 'busy', 'idle', 'idle', 'idle', 'idle', 'idle', 'busy', 'idle']))
  await scene.loop.start()
  const waits: number[] = []
  for (let turn = 0; turn < 9; turn++) waits.push(await scene.waited())
  expect(waits).toEqual([10, 10, 20, 40, 80, 100, 100, 10, 20])
})

test('with a wait of 0 repeats at once while it is busy, and does not spin when it is idle', async () => {
  await using scene = disposing(scripted(['busy', 'busy', 'busy', 'idle', 'idle'], { poll: { min: 0, max: 50 } }))
  await scene.loop.start()
  expect(await scene.waited()).toBe(1)
  expect(await scene.waited()).toBe(2)
  expect(scene.ran).toBe(5)
})

test('a wake ends the wait, and polling is eager again from there', async () => {
  await using scene = disposing(scripted([]))
  await scene.loop.start()
  for (const expected of [20, 40, 80, 100]) expect(await scene.waited()).toBe(expected)
  expect(await scene.clock.asleep()).toBe(100)
  const { ran } = scene
  scene.loop.wake()
  expect(await scene.clock.asleep()).toBe(20)
  expect(scene.ran).toBe(ran + 1)
})

test('a wake in mid-turn is answered by one more turn; any number of them by one', async () => {
  let inTurn: (() => void) | undefined
  const clock = new ManualClock()
  let ran = 0
  await using made = loop({
    name: 'woken',
    poll: { min: 10, max: 100 },
    clock,
    async runOnce() {
      ran++
      if (ran === 1) {
        await new Promise<void>((resolve) => {
          inTurn = resolve
        })
      }
      return 'idle'
    },
  })
  await made.start()
  made.wake()
  made.wake()
  made.wake()
  inTurn?.()
  await clock.asleep()
  expect(ran).toBe(2)
  expect(clock.slept).toHaveLength(1) // none between the two
})

test('a turn that fails is told, repeated with backoff, and its end is told once', async () => {
  const [first, second] = [new RangeError('first'), new RangeError('second')]
  await using scene = disposing(scripted([first, second, 'busy', 'busy']))
  await scene.loop.start()
  const waits = [await scene.waited(), await scene.waited(), await scene.waited(), await scene.clock.asleep()]
  expect(waits[0]).toBeGreaterThanOrEqual(10)
  expect(waits[0]).toBeLessThanOrEqual(110)
  expect(waits[1]).toBeLessThanOrEqual(210)
  expect(waits.slice(2)).toEqual([10, 10])
  expect(scene.troubles).toEqual([first, second, undefined])
})

test('the wait between failures is bounded', async () => {
  await using scene = disposing(scripted(Array.from({ length: 40 }, () => new RangeError('again'))))
  await scene.loop.start()
  for (let turn = 0; turn < 40; turn++) expect(await scene.waited()).toBeLessThanOrEqual(5010)
})

test('stopping ends a wait, and the turn learns of it by its signal', async () => {
  const clock = new ManualClock()
  let signal: AbortSignal | undefined
  const made = loop({
    name: 'signalled',
    poll: { min: 10, max: 100 },
    clock,
    async runOnce(given) {
      signal = given
      return 'idle'
    },
  })
  await made.start()
  await clock.asleep()
  expect(signal?.aborted).toBe(false)
  await made.stop()
  expect(signal?.aborted).toBe(true)
  expect(clock.monotonic()).toBe(0)
})

test('a preparation that fails is the failure of the start, which may be tried again', async () => {
  let fails = true
  const clock = new ManualClock()
  await using made = loop({
    name: 'prepared',
    poll: { min: 10, max: 100 },
    clock,
    async prepare() {
      if (fails) throw new RangeError('not yet')
    },
    runOnce: async () => 'idle',
  })
  await expect(made.start()).rejects.toThrow('not yet')
  expect(made.state).toBe('idle')
  fails = false
  await made.start()
  expect(made.state).toBe('running')
  await clock.asleep()
})

function disposing<Scene extends { readonly loop: Loop }>(scene: Scene): Scene & AsyncDisposable {
  return Object.assign(Object.create(scene) as Scene, { [Symbol.asyncDispose]: () => scene.loop.stop() })
}
