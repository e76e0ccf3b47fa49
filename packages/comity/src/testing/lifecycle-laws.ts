import assert from 'node:assert/strict'
import type { Service } from '../foundation/index.ts'
import type { LawsApi } from './transport-laws.ts'

export interface LifecycleSubject extends AsyncDisposable {
  readonly service: Service
}

export interface LifecycleLawsOptions {
  readonly name: string
  /**
   * A service that has something to do as soon as it is started. Whatever it does begins with `await turn()`: the laws count
   * these calls, hold them, and make them fail.
   */
  readonly create: (turn: () => Promise<void>) => Promise<LifecycleSubject>
  /** The longest that anything that must happen may take, in milliseconds. Default 15 000. */
  readonly patience?: number
}

interface Subject {
  readonly service: Service
  readonly turns: Turns
  /** Resolves with what the promise does; rejects with `what` after the patience. */
  within<Value>(what: string, promise: Promise<Value>): Promise<Value>
}

/**
 * What every background service must keep (`foundation/service.ts`), as tests: call it inside a test file with your framework's functions.
 *
 * @example
 * import { describe, test } from 'vitest'
 * lifecycleLaws({ name: 'relay', create: async (turn) => ({ service: relay({ … }), [Symbol.asyncDispose]: … }) }, { describe, test })
 */
export function lifecycleLaws(options: LifecycleLawsOptions, api: Pick<LawsApi, 'describe' | 'test'>): void {
  const { name, create, patience = 15_000 } = options

  api.describe(`lifecycle laws: ${name}`, () => {
    for (const [title, law] of Object.entries(laws)) api.test(title, () => obey(law), patience * 4)
  })

  async function obey(law: (subject: Subject) => Promise<void>): Promise<void> {
    const turns = new Turns()
    await using subject = await create(() => turns.enter())
    const { service } = subject
    try {
      assert.equal(service.state, 'idle')
      await law({ service, turns, within: (what, promise) => within(what, promise, patience) })
    } finally {
      turns.release()
      await within('the end of the law', service.stop(), patience)
    }
  }
}

const laws: Readonly<Record<string, (subject: Subject) => Promise<void>>> = {
  async 'a started service runs'({ service, turns, within }) {
    await within('start', service.start())
    assert.equal(service.state, 'running')
    await within('a turn', turns.next())
  },

  async 'starting twice is one start'({ service, turns, within }) {
    turns.hold()
    await within('both starts', Promise.all([service.start(), service.start()]))
    await within('a turn', turns.next())
    await within('a third start', service.start())
    await aWhile()
    assert.equal(turns.begun, 1, 'two of it run at the same time')
    assert.equal(service.state, 'running')
  },

  async 'stopping before the start ends it for good'({ service, turns, within }) {
    await within('stop', service.stop())
    assert.equal(service.state, 'stopped')
    await refusedToStart(service)
    await aWhile()
    assert.equal(turns.begun, 0, 'it ran although it never was started')
  },

  async 'stopping twice is one stop'({ service, turns, within }) {
    await service.start()
    await within('a turn', turns.next())
    await within('both stops', Promise.all([service.stop(), service.stop()]))
    await within('a third stop', service.stop())
    assert.equal(service.state, 'stopped')
  },

  async 'starting after the stop is refused'({ service, turns, within }) {
    await service.start()
    await within('a turn', turns.next())
    await within('stop', service.stop())
    await refusedToStart(service)
    assert.equal(service.state, 'stopped')
  },

  async 'nothing runs after the stop'({ service, turns, within }) {
    await service.start()
    await within('a turn', turns.next())
    await within('stop', service.stop())
    const { begun } = turns
    assert.equal(turns.running, 0, 'a turn outlived the stop')
    if ('wake' in service) (service.wake as () => void).call(service)
    await aWhile()
    assert.equal(turns.begun, begun, 'a turn began after the stop')
  },

  async 'stopping during the start ends it'({ service, turns, within }) {
    const starting = service.start().catch(stoppedOnly)
    const stopping = service.stop()
    await within('both', Promise.all([starting, stopping]))
    assert.equal(service.state, 'stopped')
    const { begun } = turns
    await aWhile()
    assert.deepEqual({ begun: turns.begun, running: turns.running }, { begun, running: 0 })
  },

  async 'stopping waits for the turn that runs'({ service, turns, within }) {
    turns.hold()
    await service.start()
    await within('a turn', turns.next())
    let stopped = false
    const stopping = service.stop().then(() => {
      stopped = true
    })
    await aWhile()
    assert.equal(stopped, false, 'it did not wait')
    assert.equal(service.state, 'stopping')
    await refusedToStart(service)
    turns.release()
    await within('stop', stopping)
    assert.equal(turns.running, 0)
    assert.equal(service.state, 'stopped')
  },

  async 'a turn that fails is repeated'({ service, turns, within }) {
    turns.fail()
    await service.start()
    await within('a turn that fails', turns.next())
    await within('the turn after it', turns.next())
    assert.equal(service.state, 'running')
  },

  async 'it can be stopped while a turn fails'({ service, turns, within }) {
    turns.hold()
    await service.start()
    await within('a turn', turns.next())
    const stopping = service.stop()
    turns.fail()
    turns.release()
    await within('stop', stopping)
    assert.equal(service.state, 'stopped')
  },

  async 'disposing is stopping'({ service, turns, within }) {
    await service.start()
    await within('a turn', turns.next())
    await within('dispose', Promise.resolve(service[Symbol.asyncDispose]()))
    assert.equal(service.state, 'stopped')
    await refusedToStart(service)
  },
}

/** What the service does, as the laws see it. */
class Turns {
  begun = 0
  running = 0
  #fails = 0
  #held: Promise<void> | undefined
  #let: () => void = () => undefined
  #seen = 0
  #waiting = new Set<() => void>()

  async enter(): Promise<void> {
    this.begun++
    this.running++
    for (const look of this.#waiting) look()
    try {
      await this.#held
      if (this.#fails > 0 && this.#fails--) assert.fail('failed on purpose')
    } finally {
      this.running--
    }
  }

  /** Resolves when one more turn has begun than the last call saw. */
  next(): Promise<void> {
    const wanted = ++this.#seen
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.begun < wanted) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
      look()
    })
  }

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#let = resolve
    })
  }

  release(): void {
    this.#held = undefined
    this.#let()
  }

  fail(): void {
    this.#fails++
  }
}

async function refusedToStart(service: Service): Promise<void> {
  await assert.rejects(service.start(), { code: 'COMITY_STOPPED' })
}

function stoppedOnly(error: unknown): void {
  assert.equal((error as { readonly code?: unknown }).code, 'COMITY_STOPPED')
}

/** Time enough for what wrongly happens to begin: some turns of the event loop, no length of time. */
async function aWhile(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
}

async function within<Value>(what: string, promise: Promise<Value>, patience: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `not within ${patience} ms: ${what}` })), patience)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
