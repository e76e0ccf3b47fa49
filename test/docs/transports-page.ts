import { googlePubsubGuarantees } from '@comity/google-pubsub'
import { natsGuarantees } from '@comity/nats'
import { memoryBus } from 'comity'
import { lawsFor } from 'comity/testing'
import { type Guarantees, postgresGuarantees } from 'comity/transport'
import { SKIPPED_LAWS as GOOGLE_PUBSUB_SKIPPED } from '../../packages/google-pubsub/test/skipped-laws.ts'

interface Shown {
  readonly name: string
  readonly guarantees: Guarantees
  /** Laws that cannot be tried against the broker that the tests start: name → reason. */
  readonly skipped: Readonly<Record<string, string>>
}

/** The one row that a new transport adds to this page. */
const TRANSPORTS: readonly Shown[] = [
  { name: 'memory', guarantees: memoryBus().guarantees, skipped: {} },
  { name: 'postgres', guarantees: postgresGuarantees, skipped: {} },
  { name: 'nats', guarantees: natsGuarantees, skipped: {} },
  { name: 'google-pubsub', guarantees: googlePubsubGuarantees, skipped: GOOGLE_PUBSUB_SKIPPED },
]

const MEANINGS: Readonly<Record<string, string>> = {
  orderPerBucket: 'messages of one bucket reach a subscription in the order in which their sends were acknowledged',
  oneProcessPerBucket: 'a bucket of a subscription is at one process at a time (leases inside the transport)',
  durable: 'acknowledged messages survive a crash of the broker and of every client',
  replay: 'a subscription can go back over retained messages',
  stats: "the broker itself counts a subscription's backlog; where it does not, the processes say what they have",
  remove: 'subscriptions and topics can be taken away',
  claims: 'a copy of a live database is told that it may not speak',
  fencing: 'the broker itself refuses what a zombie relay sends',
  dedupeWindow: 'how long the broker recognises a repeated id; never relied on',
  redeliveryWindow: 'how long a message that was not acknowledged can come again; the inbox remembers two days more',
  'limits.batchMessages': 'messages in one send',
  'limits.batchBytes': 'bytes in one send, data and attributes together',
  'limits.messageBytes': 'bytes of one message, data and attributes together',
  access: 'forms in which `comity provision --access` writes down the least rights of each team',
}

/** docs/transports.md below its heading "What each guarantees": made from the values that the code itself reads. */
export function guaranteesTable(): string {
  const rows = Object.entries(MEANINGS).map(([path, meaning]) => [
    `\`${path}\``,
    ...TRANSPORTS.map(({ guarantees }) => shown(path, guarantees)),
    meaning,
  ])
  return table(['', ...TRANSPORTS.map(({ name }) => name), 'meaning'], rows)
}

/** Every guarantee has a meaning here, and the other way round. */
export function guaranteePaths(): { readonly explained: readonly string[]; readonly existing: readonly string[] } {
  const { limits, ...others } = postgresGuarantees
  return {
    explained: Object.keys(MEANINGS).sort(),
    existing: [...Object.keys(others), ...Object.keys(limits).map((name) => `limits.${name}`)].sort(),
  }
}

/** Transport × law: kept, or why it cannot be tried, in notes below the table. */
export function lawsTable(): string {
  const notes: string[] = []
  const noteOf = (reason: string): string => {
    if (!notes.includes(reason)) notes.push(reason)
    return `[${notes.indexOf(reason) + 1}]`
  }
  const exemptions = TRANSPORTS.map(({ guarantees, skipped }) =>
    lawsFor(guarantees).map(({ name, exempt }) => ({ name, reason: skipped[name] ?? exempt })),
  )
  const rows = (exemptions[0] ?? []).map(({ name }, law) => [
    name,
    ...exemptions.map((column) => {
      const reason = column[law]?.reason
      return reason === undefined ? '✓' : noteOf(reason)
    }),
  ])
  return `${table(['law', ...TRANSPORTS.map(({ name }) => name)], rows)}\n\n${notes.map((note, index) => `[${index + 1}]: ${note}  `).join('\n')}`
}

const DAY = 24 * 60 * 60 * 1000

function shown(path: string, guarantees: Guarantees): string {
  const value = path.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], guarantees)
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (Array.isArray(value)) return value.length === 0 ? '–' : value.map((form) => `\`${form}\``).join(', ')
  const number = value as number
  if (path.endsWith('Bytes')) return number % (1024 * 1024) === 0 ? `${number / 1024 / 1024} MiB` : number.toLocaleString('en')
  if (path.endsWith('Window')) return number === 0 ? 'never' : number >= DAY ? `${number / DAY} d` : `${number / 1000} s`
  return number.toLocaleString('en')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n')
}
