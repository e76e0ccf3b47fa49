import { BadOption, type Clock, checkOptions, type Duration, type Logger, parseDuration, silentLogger, systemClock } from 'comity/transport'
import { NatsSyncUnsaid } from './errors.ts'
import { inboxOf } from './names.ts'
import { type NatsAddress, parseNatsUrl } from './nats-url.ts'

export interface NatsTransportOptions {
  /**
   * `nats://user:password@host:4222,second-host:4222`. Its parameters are the options below, times with their unit:
   * `?team=crm&sync=always&replicas=3&retention=7d&tls=true`. An option given here wins.
   */
  readonly url: string
  /** Whose connection this is: it listens below the inbox prefix of that team only, as the permissions of `access` want it. */
  readonly team?: string
  /**
   * When the server writes its files through to the disk, which a client cannot ask. `always`: before it acknowledges. `interval`: every two
   * minutes by default. A crash of the server loses nothing either way; a power failure or a crash of the machine may, with `interval`, take what
   * was acknowledged since, from every copy that lies on such a machine. Has to be said, unless `allowUnsafe`.
   */
  readonly sync?: 'always' | 'interval'
  /** Buckets of a topic whose plan names none: 1 to 64, a power of two. Default 16. */
  readonly buckets?: number
  /** How long messages stay, acknowledged or not, in milliseconds: the window of `seek` and of a subscription that nobody receives. Default 7 days, at most 31. */
  readonly retention?: number
  /** Copies of each stream that `provision` makes, of the servers of a cluster. Default 1. */
  readonly replicas?: number
  /** How long a receiver's bucket stays its own after it was last heard of, in milliseconds. Default 10 000. */
  readonly leaseMs?: number
  /** How long an incarnation must be silent before a stranger may succeed it, in milliseconds; the same in every process of a team. Default 15 000. */
  readonly claimSilence?: number
  /** How long `close` waits for running calls of handlers, in milliseconds. Default 10 000. */
  readonly closeGrace?: number
  /** How long the server may leave a request unanswered, in milliseconds. Default 10 000. */
  readonly answerTimeout?: number
  /** After how much silence a receiver looks whether something waits at the server and does not come, in milliseconds. Default 10 000. */
  readonly stallAfter?: number
  /** Encrypt, whatever the URL says. */
  readonly tls?: boolean
  /** Tests only: accept streams in memory or of short retention, and do not ask for `sync`. */
  readonly allowUnsafe?: boolean
  readonly logger?: Logger
  readonly clock?: Clock
}

export interface Settings extends Required<Omit<NatsTransportOptions, 'url' | 'team' | 'sync'>> {
  readonly address: NatsAddress
  readonly inboxPrefix: string
  readonly sync: 'always' | 'interval'
}

const names = [
  ...['url', 'team', 'sync', 'buckets', 'retention', 'replicas', 'leaseMs', 'claimSilence', 'closeGrace', 'answerTimeout'],
  ...['stallAfter', 'tls', 'allowUnsafe', 'logger', 'clock'],
]
const DAY = 24 * 60 * 60 * 1000
/** Also what `guarantees.redeliveryWindow` says. */
export const LONGEST_RETENTION: number = 31 * DAY

export function settingsOf(options: NatsTransportOptions): Settings {
  checkOptions(options, names, 'natsTransport')
  const address = parseNatsUrl(options.url)
  const given = Object.fromEntries(address.parameters)
  checkOptions(
    given,
    names.filter((name) => !['url', 'logger', 'clock', 'allowUnsafe'].includes(name)),
    'the URL of the transport',
  )
  const number = (
    name: 'buckets' | 'retention' | 'replicas' | 'leaseMs' | 'claimSilence' | 'closeGrace' | 'answerTimeout' | 'stallAfter',
    otherwise: number,
  ) => options[name] ?? (given[name] === undefined ? otherwise : numberOf(given[name], name))
  const { allowUnsafe = false, logger = silentLogger, clock = systemClock } = options
  const team = options.team ?? given.team
  const sync = options.sync ?? given.sync
  if (sync === undefined && !allowUnsafe) throw new NatsSyncUnsaid({})
  const settings: Settings = {
    address,
    inboxPrefix: team === undefined ? '_INBOX' : inboxOf(team),
    sync: sync === 'always' ? 'always' : 'interval',
    buckets: number('buckets', 16),
    retention: number('retention', 7 * DAY),
    replicas: number('replicas', 1),
    leaseMs: number('leaseMs', 10_000),
    claimSilence: number('claimSilence', 15_000),
    closeGrace: number('closeGrace', 10_000),
    answerTimeout: number('answerTimeout', 10_000),
    stallAfter: number('stallAfter', 10_000),
    tls: options.tls ?? (given.tls === 'true' || options.url.startsWith('tls:')),
    ...{ allowUnsafe, logger, clock },
  }
  const must = (holds: boolean, option: string, expected: string): void => {
    if (!holds) throw new BadOption({ option, expected })
  }
  must([undefined, 'always', 'interval'].includes(sync), 'sync', "'always' or 'interval'")
  must(Number.isInteger(Math.log2(settings.buckets)) && settings.buckets <= 64, 'buckets', 'a power of two from 1 to 64')
  must(settings.retention >= 60_000 && settings.retention <= LONGEST_RETENTION, 'retention', 'milliseconds, from a minute to 31 days')
  must([1, 2, 3, 4, 5].includes(settings.replicas), 'replicas', 'a number from 1 to 5')
  must(settings.leaseMs >= 100, 'leaseMs', 'at least 100')
  for (const name of ['claimSilence', 'closeGrace', 'answerTimeout', 'stallAfter'] as const) must(settings[name] >= 0, name, 'milliseconds')
  return settings
}

/** Times may have a unit. */
function numberOf(text: string, name: string): number {
  return /^\d+$/.test(text) ? Number(text) : parseDuration(text as Duration, name)
}
