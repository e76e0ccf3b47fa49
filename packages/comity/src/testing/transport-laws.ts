import assert from 'node:assert/strict'
import type { Guarantees } from '../transport/guarantees.ts'
import type { Transport } from '../transport/transport.ts'
import { deliveryLaws } from './transport-laws/delivery-laws.ts'
import { fencingLaws } from './transport-laws/fencing-laws.ts'
import type { Law, LawBroker, LawContext } from './transport-laws/law.ts'
import { lifecycleLaws } from './transport-laws/lifecycle-laws.ts'
import { Observer } from './transport-laws/observer.ts'
import { positionLaws } from './transport-laws/position-laws.ts'
import { sharingLaws } from './transport-laws/sharing-laws.ts'

export type { LawBroker } from './transport-laws/law.ts'

/** The part of a test framework that the laws use: vitest's functions fit as they are. */
export interface LawsApi {
  readonly describe: (name: string, body: () => void) => void
  readonly test: ((name: string, body: () => Promise<void>, timeout: number) => void) & {
    readonly skip: (name: string, body: () => Promise<void>) => void
  }
  readonly afterAll: (body: () => Promise<void>) => void
}

export interface TransportLawsOptions {
  readonly name: string
  /** What the transport promises. Laws about what it does not promise are skipped, visibly. */
  readonly guarantees: Guarantees
  /** Called once, when the first law runs. */
  readonly create: () => Promise<LawBroker>
  /** Laws that cannot be tried here: name → reason, printed. A name that is no law is an error. */
  readonly skip?: Readonly<Record<string, string>>
  /** The longest that anything that must happen may take, in milliseconds. Default 15 000. */
  readonly patience?: number
  /** How long the broker lets an incarnation be silent before a stranger may succeed it. Default 15 000. */
  readonly claimSilence?: number
}

const LAWS: readonly Law[] = [...deliveryLaws, ...lifecycleLaws, ...sharingLaws, ...positionLaws, ...fencingLaws]

/** Every law, and why it says nothing about a transport with these guarantees, if it does not. */
export function lawsFor(guarantees: Guarantees): readonly { readonly name: string; readonly exempt: string | undefined }[] {
  return LAWS.map(({ name, exempts }) => ({ name, exempt: exempts?.(guarantees) }))
}

/**
 * What every transport must keep, as tests: call it inside a test file with your framework's functions.
 *
 * @example
 * import { afterAll, describe, test } from 'vitest'
 * transportLaws({ name: 'mine', guarantees: mineGuarantees, create: async () => ({ connect, dispose }) }, { describe, test, afterAll })
 */
export function transportLaws(options: TransportLawsOptions, api: LawsApi): void {
  const { name, guarantees, skip = {}, patience = 15_000, claimSilence = 15_000 } = options
  for (const skipped of Object.keys(skip)) {
    assert.ok(
      LAWS.some((law) => law.name === skipped),
      `there is no law "${skipped}" to skip`,
    )
  }
  let broker: Promise<LawBroker> | undefined

  api.describe(`transport laws: ${name}`, () => {
    for (const [number, law] of LAWS.entries()) {
      const body = async (): Promise<void> => {
        broker ??= options.create()
        await obey(law, number, await broker, { guarantees, patience, claimSilence })
      }
      const reason = skip[law.name] ?? law.exempts?.(guarantees)
      if (reason === undefined) api.test(law.name, body, patience * 4)
      else api.test.skip(`${law.name} (skipped: ${reason})`, body)
    }
    api.afterAll(async () => (await broker)?.dispose())
  })
}

async function obey(
  law: Law,
  number: number,
  broker: LawBroker,
  settings: Pick<LawContext, 'guarantees' | 'patience' | 'claimSilence'>,
): Promise<void> {
  const transports: Transport[] = []
  const observers: Observer[] = []
  const waiting = new Set<() => void>()
  const changed = (): void => {
    for (const look of waiting) look()
  }
  const team = `law${number}`
  const context: LawContext = {
    ...settings,
    broker,
    team,
    topic: `${team}.topic`,
    async connect() {
      const transport = await broker.connect()
      transports.push(transport)
      return transport
    },
    async provision(transport, words, topic = `${team}.topic`) {
      const subscriptions = words.map((word) => ({ name: `${team}.${word}`, team, topic }))
      await transport.provision({ topics: [{ name: topic, team }], subscriptions })
      return subscriptions.map((subscription) => subscription.name)
    },
    observe(transport, subscription, observing = {}) {
      const observer = new Observer(transport, subscription, observing, changed)
      observers.push(observer)
      return observer
    },
    async eventually(what, condition) {
      const deadline = performance.now() + settings.patience
      while (!(await condition())) {
        const left = deadline - performance.now()
        if (left <= 0) assert.fail(`not within ${settings.patience} ms: ${what}`)
        // Woken by whatever an observer sees; conditions about the broker itself are asked again every 20 ms.
        await new Promise<void>((resolve) => {
          const end = (): void => {
            clearTimeout(timer)
            waiting.delete(end)
            resolve()
          }
          const timer = setTimeout(end, Math.min(20, left))
          waiting.add(end)
        })
      }
    },
  }
  try {
    await law.run(context)
  } finally {
    for (const observer of observers) observer.abort()
    await Promise.allSettled(transports.map((transport) => transport.close()))
  }
}
