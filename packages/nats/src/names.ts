import { NatsNameTooLong } from './errors.ts'

/** Of a stream or a consumer: each is a directory of the server (JSMaxNameLen in nats-server). */
const MAX_BYTES = 255

/**
 * Any text as one token of a subject, and as the name of a stream or a consumer: letters, digits and `-` stay, `.` becomes `_`, every other
 * byte of its UTF-8 becomes `=XX`. So `crm.customer` is `crm_customer`, no two texts give the same token, and {@link fromToken} goes back.
 */
export function toToken(text: string): string {
  const token = text.replace(/[^A-Za-z0-9-]/gu, (character) =>
    character === '.' ? '_' : [...Buffer.from(character)].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
  if (token.length > MAX_BYTES - 32) throw new NatsNameTooLong({ name: text.slice(0, 80), limit: String(MAX_BYTES - 32) })
  return token
}

export function fromToken(token: string): string {
  return token.replaceAll('_', '.').replace(/(?:=[0-9A-F]{2})+/g, (bytes) => Buffer.from(bytes.replaceAll('=', ''), 'hex').toString('utf8'))
}

export const streamOf = (topic: string): string => `comity-${toToken(topic)}`
export const subjectOf = (topic: string, bucket: number | '*'): string => `comity.topic.${toToken(topic)}.${bucket}`
/** Reads one bucket of a subscription for whoever holds its lease, or all of them for whoever holds all. */
export const readerOf = (subscription: string, bucket: number | 'all'): string => `${toToken(subscription)}-${bucket}`
/** Counts what a subscription has not acknowledged, for a moment. */
export const counterOf = (subscription: string): string => `${toToken(subscription)}-count`

/** The key-value bucket in which a team keeps its leases, positions and claims: a stream `KV_…` with one subject per key. */
export const storeOf = (team: string): string => `comity-${toToken(team)}`
/** Where one key of that store is read by its name. */
export const peekOf = (team: string, key: string): string => `$JS.API.DIRECT.GET.KV_${storeOf(team)}.$KV.${storeOf(team)}.${key}`
/** Where processes of a team tell each other that a subscription's leases have changed. */
export const newsOf = (team: string, subscription: string | '*'): string =>
  `comity.news.${toToken(team)}.${subscription === '*' ? '*' : toToken(subscription)}`
/** A team may listen to answers below its own prefix only. */
export const inboxOf = (team: string): string => `_INBOX_${toToken(team)}`

/** A subscription is named `<team>.<name>` or `<team>.comity.<name>`, and in a namespace `<namespace>.<team>.…`; no team is called comity. */
export function teamOf(subscription: string): string {
  const [first = '', second = '', ...rest] = subscription.split('.')
  return rest.length === 0 || second === 'comity' ? first : `${first}.${second}`
}
