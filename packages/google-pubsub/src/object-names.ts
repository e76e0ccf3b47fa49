import { PubsubNameInvalid } from './errors.ts'

/** Stands before a name that Pub/Sub would refuse for its beginning or its length; no escaped name can contain it. */
const MARK = 'c%-'

/**
 * A name of ours as the id of a topic or subscription, and back. Pub/Sub allows 3 to 255 of `A–Z a–z 0–9 - . _ ~ + %`, a letter first, not
 * beginning with `goog`. Names of the contract pass as they are; any other character is written as `%XX` for each of its UTF-8 bytes.
 * Source: https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
 */
export function objectId(name: string, prefix = ''): string {
  if (!(name as WellFormedString).isWellFormed())
    throw new PubsubNameInvalid({ name: JSON.stringify(name), problem: 'it has a lone surrogate' })
  const escaped = name.replace(/[^A-Za-z0-9\-._~]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
  const plain = /^[A-Za-z].{2}/.test(escaped) && !/^goog/i.test(escaped)
  const id = `${prefix}${plain ? escaped : MARK + escaped}`
  if (id.length > 255) throw new PubsubNameInvalid({ name, problem: `it would take ${id.length} characters` })
  return id
}
/** ES2024; Node has it since 20. */
type WellFormedString = string & { isWellFormed(): boolean }

/** The name that {@link objectId} made this id of; undefined if it made it of none. */
export function nameOfObject(id: string, prefix = ''): string | undefined {
  if (!id.startsWith(prefix)) return undefined
  const rest = id.slice(prefix.length)
  try {
    const name = decodeURIComponent(rest.startsWith(MARK) ? rest.slice(MARK.length) : rest)
    return objectId(name, prefix) === id ? name : undefined
  } catch {
    return undefined // not escaped by us
  }
}
