import { type LawBroker, transportLaws } from 'comity/testing'
import { afterAll, describe, test } from 'vitest'
import { brokerIsHere, launchBroker } from '../../../scripts/brokers.mjs'
import { googlePubsubGuarantees, googlePubsubTransport } from '../src/index.ts'

const forgets = 'the emulator keeps everything in memory: what a restart leaves of it is nothing'
const deadStream =
  'the emulator goes on giving half of the ordering keys to the stream of a client that died (without ordering it does not): nobody else ever gets them'
const noSeek = 'the emulator answers UNIMPLEMENTED when a subscription with ordering is sought to a time'

describe.skipIf(!brokerIsHere('google-pubsub'))("Google's emulator", () => {
  transportLaws(
    {
      name: 'google-pubsub',
      guarantees: googlePubsubGuarantees,
      skip: {
        'an acknowledged send survives a restart of the broker': forgets,
        'seek to the beginning delivers everything retained again, to that subscription only': noSeek,
        'seek reaches a receiver that is running': noSeek,
        'seek to the end leaves what is waiting behind': noSeek,
        'seek to a time delivers what was sent then and later': noSeek,
        'what a crashed client had not acknowledged comes again, to another': deadStream,
        'the buckets of a receiver that died go to the others': deadStream,
        'a receive goes on by itself after the broker restarted, and says so': forgets,
      },
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
