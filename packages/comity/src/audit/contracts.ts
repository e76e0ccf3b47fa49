import type { JsonSchema } from '@comity/contract'
import { SUBSET, VERSIONS } from '../backfill/contracts.ts'
import type { ReadableVersions } from '../backfill/copy-reader.ts'
import type { SubsetCondition } from '../catalog/declaration.ts'
import type { CopyingContract } from '../control/copying-channel.ts'
import { CANONICAL_KINDS } from '../replica/canonical-kind.ts'
import type { AuditedField } from './audited-field.ts'
import type { Buckets, Digest, HashedRow } from './find-suspects.ts'

/**
 * What one copy asks of the owner of its entity during an audit, and what that answers, on the copying channel (docs/decisions/0011-copying-channel.md).
 *
 *   copy                                     owner
 *     asked (digests)  ───────────────────────▶  of 1024 buckets
 *          ◀───────────────────────── told: part 1 of 1
 *     asked (digests, within those that differ), asked (rows of …)
 *          ◀───────────────────────── told: parts
 *     asked (keys that differ) ───────────────▶  draws a version, waits, reads
 *          ◀───────────────────────── told: what holds of them at that version
 *          ◀─────────── marks of the relay, on the entity's topic: everything below it was sent
 *
 * A question that is not answered is asked again, with its id: the owner answers it anew. So messages may be lost or repeated, on either way.
 */
export interface AuditAsked {
  readonly v: number
  /** A UUID: of this question. */
  readonly id: string
  readonly audit: string
  readonly entity: string
  readonly audience?: string
  readonly fields: readonly AuditedField[]
  /** Of the owner's rows only those for which all of these hold. */
  readonly subset?: readonly SubsetCondition[]
  /** What the copy can read; absent: nothing but its own version. */
  readonly versions?: ReadableVersions
  /** 32 bytes in hexadecimal: of this audit. */
  readonly secret: string
  readonly what: AuditQuestion
}
export type AuditQuestion =
  | { readonly kind: 'digests'; readonly depth: number; readonly within?: Buckets }
  | { readonly kind: 'rows'; readonly of: Buckets }
  /** What holds of them? At most {@link KEYS_AT_ONCE}. */
  | { readonly kind: 'keys'; readonly keys: readonly string[] }
  /** Say these anew: a repair. At most {@link KEYS_AT_ONCE}. */
  | { readonly kind: 'states'; readonly keys: readonly string[] }

/** One part of an answer. */
export interface AuditTold {
  readonly v: number
  /** Of the question. */
  readonly id: string
  /** A UUID: two answers to one question are never put together. */
  readonly answer: string
  readonly part: number
  readonly parts: number
  readonly told: AuditAnswer
}
export type AuditAnswer =
  | { readonly kind: 'digests'; readonly digests: readonly PackedDigest[] }
  | { readonly kind: 'rows'; readonly rows: readonly PackedRow[] }
  /** Drawn and waited for; what holds at it. */
  | { readonly kind: 'keys'; readonly version: number; readonly keys: readonly HeldKey[]; readonly lost: readonly LostRange[] }
  /** The newest states of these keys, at a version drawn for them. */
  | { readonly kind: 'states'; readonly version: number; readonly states: readonly SaidState[] }
  /** The owner waits for transactions that may still commit something older. */
  | { readonly kind: 'waiting'; readonly for: string }
  | { readonly kind: 'refused'; readonly reason: string }

export type PackedDigest = readonly [bucket: number, count: number, a: string, b: string]
export type PackedRow = readonly [bucket: number, key: string, hash: string]

/** What holds of one key at its owner. */
export interface HeldKey {
  readonly key: string
  /** Null: there is no such row. */
  readonly hash: string | null
  /** A change newer than the version was visible already: it proves nothing. */
  readonly moving?: true
  /** Why its newest state can't be said. */
  readonly withheld?: string
  /** Of its last change, where the owner still knows it. */
  readonly version?: number
  /** What the copy is to lift: its hash is of what the owner has. Absent where the owner has the copy's version of the contract. */
  readonly state?: Readonly<Record<string, unknown>>
}

/** An owner to a copy: something here can have made you untrue. */
export interface AuditWanted {
  readonly v: number
  readonly cause: 'incarnation' | 'transport' | 'gap'
  readonly reason: string
}

/** Versions above the first and below the second belong to a history that the owner's database has lost. */
export type LostRange = readonly [above: number, below: number]

/** One key as its owner says it anew. */
export interface SaidState {
  readonly key: string
  /** Key, tenant and declared fields; null: there is no such row. */
  readonly state: Readonly<Record<string, unknown>> | null
  /** Why it can't be said: it stays as it is. */
  readonly withheld?: string
}

export const AUDIT_VERSION = 1
export const KEYS_AT_ONCE = 500
/** Of one message; a digest takes about 50 bytes, a row its key and 50. */
export const DIGESTS_AT_ONCE = 4096
export const ROWS_AT_ONCE = 2000

export function packDigest({ bucket, count, a, b }: Digest): PackedDigest {
  return [bucket, count, a, b]
}
export function unpackDigest([bucket, count, a, b]: PackedDigest): Digest {
  return { bucket, count, a, b }
}
export function packRow({ bucket, key, hash }: HashedRow): PackedRow {
  return [bucket, key, hash]
}
export function unpackRow([bucket, key, hash]: PackedRow): HashedRow {
  return { bucket, key, hash }
}

const text = { type: 'string', minLength: 1, maxLength: 1000 } as const
const key = { type: 'string', maxLength: 1000 } as const
const count = { type: 'integer', minimum: 0 } as const
const version = { type: 'integer', minimum: 1 } as const
const hash = { type: 'string', pattern: '^[0-9a-f]+$', maxLength: 64 } as const
const uuid = { type: 'string', maxLength: 36, pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' } as const
const depth = { type: 'integer', minimum: 0, maximum: 31 } as const
const listOf = (items: JsonSchema, maxItems?: number): JsonSchema => ({
  ...{ type: 'array', items },
  ...(maxItems === undefined ? {} : { maxItems }),
})
const tuple = (...items: readonly JsonSchema[]): JsonSchema => ({ type: 'array', prefixItems: items, minItems: items.length, items: true })
const open = (properties: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
})
const kind = (name: string): JsonSchema => ({ const: name })

const buckets = open({ depth, buckets: listOf({ type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 }, 10_000) })
const keys = listOf(key, KEYS_AT_ONCE)
const question: JsonSchema = {
  oneOf: [
    open({ kind: kind('digests'), depth, within: buckets }, ['within']),
    open({ kind: kind('rows'), of: buckets }),
    open({ kind: kind('keys'), keys }),
    open({ kind: kind('states'), keys }),
  ],
}
const held = open(
  { key, hash: { type: ['string', 'null'] }, moving: { const: true }, withheld: text, version: count, state: { type: 'object' } },
  ['moving', 'withheld', 'version', 'state'],
)
const answer: JsonSchema = {
  oneOf: [
    open({ kind: kind('digests'), digests: listOf(tuple(count, count, hash, hash)) }),
    open({ kind: kind('rows'), rows: listOf(tuple(count, key, hash)) }),
    open({ kind: kind('keys'), version: count, keys: listOf(held), lost: listOf(tuple(count, count)) }),
    open({
      kind: kind('states'),
      version: count,
      states: listOf(open({ key, state: { type: ['object', 'null'] }, withheld: text }, ['withheld'])),
    }),
    open({ kind: kind('waiting'), for: { type: 'string' } }),
    open({ kind: kind('refused'), reason: { type: 'string' } }),
  ],
}

export const AUDIT_ASKED: CopyingContract = {
  type: 'comity.audit-asked',
  schema: open(
    {
      ...{ v: version, id: uuid, audit: uuid, entity: text, audience: text },
      fields: listOf(open({ name: text, kind: { enum: CANONICAL_KINDS } }), 1000),
      ...{ subset: SUBSET, versions: VERSIONS },
      ...{ secret: { type: 'string', pattern: '^[0-9a-f]{64}$', maxLength: 64 }, what: question },
    },
    ['audience', 'subset', 'versions'],
  ),
}
export const AUDIT_TOLD: CopyingContract = {
  type: 'comity.audit-told',
  schema: open({ v: version, id: uuid, answer: uuid, part: version, parts: version, told: answer }),
}
export const AUDIT_WANTED: CopyingContract = {
  type: 'comity.audit-wanted',
  schema: open({ v: version, cause: { enum: ['incarnation', 'transport', 'gap'] }, reason: text }),
}
