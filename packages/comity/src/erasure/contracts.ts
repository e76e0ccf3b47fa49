import type { JsonSchema } from '@comity/contract'
import type { CopyingContract } from '../control/copying-channel.ts'

/**
 * What an owner and those who read something of it say to each other about erasures (docs/decisions/0013-erasure.md).
 *
 *   owner                                            holder
 *     erasure ──────────────────────────────────▶  what is older goes, and is turned away from now on
 *          ◀──────────────────────────── receipt    what was removed, and until when the broker has it
 *          ◀─────────────────────────── holdings    at its start, when they change, and every hour
 */
export interface Erasure {
  readonly v: number
  /** A UUID: the operation's at the owner. */
  readonly id: string
  /** The contract's name. */
  readonly topic: string
  readonly key: string
  /** Everything of the key up to it is erased. */
  readonly version: number
  /** When it was said: everything older had been sent by then. ISO 8601. */
  readonly at: string
}

/** What was removed from one subscription. */
export interface Removed {
  readonly subscription: string
  readonly kind: 'handler' | 'replica'
  /** Rows of its copy. */
  readonly rows: number
  /** Messages in the line of the key: what waited, and what had ended there. */
  readonly messages: number
  /** What operators had put in the place of messages, and the originals. */
  readonly edited: number
}

/** Of one team, for one erasure. */
export interface Receipt {
  readonly v: number
  readonly erasure: string
  readonly at: string
  /** Until when the broker may keep what was sent before; ISO 8601. */
  readonly brokerUntil: string
  readonly removed: readonly Removed[]
}

/** All that a team reads of this owner; what is not named, it does not read (any more). */
export interface Holdings {
  readonly v: number
  readonly holdings: readonly Holding[]
  /** Of its database, as it names it: in another one than before it may have forgotten erasures. */
  readonly life?: string
  /** The last erasure of this owner's that it knows. */
  readonly after?: string
}
export interface Holding {
  readonly subscription: string
  readonly topic: string
  readonly kind: 'handler' | 'replica'
  /** Beside key and tenant; of a handler, all that it is granted. */
  readonly fields: readonly string[]
  readonly audience?: string
}

export const ERASURE_VERSION = 1

const text = { type: 'string', minLength: 1, maxLength: 1000 } as const
const count = { type: 'integer', minimum: 0 } as const
const version = { type: 'integer', minimum: 1 } as const
const time = { type: 'string', format: 'date-time' } as const
const kind = { enum: ['handler', 'replica'] } as const
const uuid = { type: 'string', maxLength: 36, pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' } as const
const open = (properties: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
})
const listOf = (items: JsonSchema): JsonSchema => ({ type: 'array', items })

export const ERASURE: CopyingContract = {
  type: 'comity.erasure',
  schema: open({ v: version, id: uuid, topic: text, key: text, version, at: time }),
}
export const RECEIPT: CopyingContract = {
  type: 'comity.erasure-receipt',
  schema: open({
    ...{ v: version, erasure: uuid, at: time, brokerUntil: time },
    removed: listOf(open({ subscription: text, kind, rows: count, messages: count, edited: count })),
  }),
}
export const HOLDINGS: CopyingContract = {
  type: 'comity.holdings',
  schema: open(
    {
      ...{ v: version, life: text, after: uuid },
      holdings: listOf(open({ subscription: text, topic: text, kind, fields: listOf(text), audience: text }, ['audience'])),
    },
    ['life', 'after'],
  ),
}
