import { type LawBroker, transportLaws } from 'comity/testing'
import { afterAll, describe, test } from 'vitest'
import { brokerIsHere, launchBroker } from '../../../scripts/brokers.mjs'
import { googlePubsubGuarantees, googlePubsubTransport } from '../src/index.ts'
import { SKIPPED_LAWS } from './skipped-laws.ts'

describe.skipIf(!brokerIsHere('google-pubsub'))("Google's emulator", () => {
  transportLaws(
    {
      name: 'google-pubsub',
      guarantees: googlePubsubGuarantees,
      skip: SKIPPED_LAWS,
      create,
    },
    { describe, test, afterAll },
  )

  async function create(): Promise<LawBroker> {
    const broker = await launchBroker('google-pubsub')
    return {
      connect: async () =>
        googlePubsubTransport({ project: 'comity', emulator: `127.0.0.1:${broker.port}`, ackDeadline: '10s', closeGrace: '300ms' }),
      dispose: () => broker.close(),
    }
  }
})
