import { BadOption, type OpenTransportOptions } from 'comity/transport'
import { type GooglePubsubTransport, googlePubsubTransport } from './google-pubsub-transport.ts'

const known = ['emulator', 'prefix', 'buckets', 'retention', 'ackDeadline']

/**
 * `google-pubsub://my-project`, with the options that a URL can hold: `?emulator=127.0.0.1:8085&prefix=trial-&buckets=64&retention=3d&ackDeadline=60s`.
 * Without a project: the one that GOOGLE_CLOUD_PROJECT names.
 */
export function openTransport(url: string, _options: OpenTransportOptions = {}): GooglePubsubTransport {
  const { host, searchParams } = new URL(url)
  for (const name of searchParams.keys()) {
    if (!known.includes(name)) throw new BadOption({ option: `${name} in a google-pubsub URL`, expected: `one of ${known.join(', ')}` })
  }
  const given = Object.fromEntries(searchParams)
  const { buckets, ...rest } = given
  return googlePubsubTransport({
    ...rest,
    project: host || process.env.GOOGLE_CLOUD_PROJECT || '',
    ...(buckets === undefined ? {} : { buckets: Number(buckets) }),
  })
}
