import type { JsonSchema } from '@comity/contract'
import type { SubsetCondition } from '../catalog/declaration.ts'
import type { CopyingContract } from '../control/copying-channel.ts'
import type { Cells } from './cells.ts'
import type { ReadableVersions } from './copy-reader.ts'

/**
 * What an owner and one copy say to each other during a backfill, on the copying channel (docs/decisions/0011-copying-channel.md).
 *
 *   copy                                     owner
 *     asked (run) ────────────────────────────▶  a row in comity.backfills, or "failed" with a reason
 *          ◀─────────────────── state (running)
 *          ◀──── chunk: stretch 1, part 1 of 2      drawn, waited, read: all parts of a stretch have its version
 *          ◀──── chunk: stretch 1, part 2 of 2
 *          ◀──── chunk: stretch 2, part 1 of 1      follows: the version of stretch 1
 *          ◀───────────────── state (sent, last)    everything was read
 *
 * Who asks repeats what it wants until the owner says that it is so: nothing here needs an answer to each message.
 */
export interface Asked {
  readonly v: number
  /** A UUID: of this time that the copy is filled. */
  readonly id: string
  readonly entity: string
  readonly audience?: string
  /** Beside key and tenant. */
  readonly fields: readonly string[]
  /** Rows a second, at most. */
  readonly rate?: number
  /** Only rows for which all of these hold. */
  readonly subset?: readonly SubsetCondition[]
  /** What the copy can read; absent: nothing but its own version. */
  readonly versions?: ReadableVersions
  readonly want: Want
}
export type Want = 'run' | 'pause' | 'cancel'

/** Rows of one part of a stretch. Its place in the chain is (term, version, part); the first part of a stretch names the stretch before it. */
export interface Chunk {
  readonly v: number
  readonly id: string
  /** The term of the owner's worker: of two that sent at once, the newer counts. */
  readonly term: number
  /** Drawn for this stretch: the version of each of its rows. */
  readonly version: number
  readonly part: number
  readonly parts: number
  /** The version of the stretch before it; 0 for the first. */
  readonly follows: number
  /** Keys that are there and can't be said: they break their contract. */
  readonly withheld: readonly string[]
  readonly states: readonly Readonly<Record<string, unknown>>[]
  /** Instead of states, where the owner can: of a captured table, all that is picked of each row. See {@link Cells}. */
  readonly table?: Cells
}

/** What the owner does about it. */
export interface OwnerState {
  readonly v: number
  readonly id: string
  readonly state: 'running' | 'paused' | 'sent' | 'cancelled' | 'failed'
  readonly reason?: string
  /** About how many rows there are. */
  readonly estimate?: number
  /** Of `sent`: the versions of the first and the last stretch. */
  readonly first?: number
  readonly last?: number
}

export const BACKFILL_VERSION = 1
/** Most rows of a chunk, and about how many bytes of states. */
export const CHUNK_ROWS = 500
export const CHUNK_BYTES: number = 512 * 1024

const text = { type: 'string', minLength: 1, maxLength: 1000 } as const
const count = { type: 'integer', minimum: 0 } as const
const uuid = { type: 'string', maxLength: 36, pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' } as const
const version = { type: 'integer', minimum: 1 } as const

/** As {@link SubsetCondition} has it. */
export const SUBSET: JsonSchema = {
  type: 'array',
  minItems: 1,
  maxItems: 100,
  items: {
    type: 'object',
    properties: { field: text, op: { enum: ['=', 'not', 'in', '<', '<=', '>', '>='] }, value: true, as: { enum: ['date-time', 'uuid'] } },
    required: ['field', 'op', 'value'],
  },
}

/** As {@link ReadableVersions} has it. */
export const VERSIONS: JsonSchema = {
  type: 'object',
  properties: {
    own: text,
    older: {
      type: 'array',
      maxItems: 100,
      items: {
        type: 'object',
        properties: { fields: { type: 'array', items: text, maxItems: 1000 }, required: { type: 'array', items: text, maxItems: 1000 } },
        required: ['fields', 'required'],
      },
    },
  },
  required: ['own', 'older'],
}

export const ASKED: CopyingContract = {
  type: 'comity.backfill-asked',
  schema: {
    type: 'object',
    properties: {
      ...{ v: version, id: uuid, entity: text, audience: text, fields: { type: 'array', items: text, maxItems: 1000 } },
      ...{ rate: { type: 'number', exclusiveMinimum: 0 }, subset: SUBSET, versions: VERSIONS, want: { enum: ['run', 'pause', 'cancel'] } },
    },
    required: ['v', 'id', 'entity', 'fields', 'want'],
  },
}

const TABLE: JsonSchema = {
  type: 'object',
  properties: {
    rows: { type: 'string' },
    columns: {
      type: 'array',
      minItems: 1,
      maxItems: 2000,
      items: { type: 'object', properties: { field: text, as: { enum: ['text', 'json'] } }, required: ['field', 'as'] },
    },
  },
  required: ['columns', 'rows'],
}

export const CHUNK: CopyingContract = {
  type: 'comity.backfill-chunk',
  schema: {
    type: 'object',
    properties: {
      ...{ v: version, id: uuid, term: count, version: count, part: version, parts: version, follows: count },
      ...{ withheld: { type: 'array', items: text }, states: { type: 'array', items: { type: 'object' } }, table: TABLE },
    },
    required: ['v', 'id', 'term', 'version', 'part', 'parts', 'follows', 'withheld', 'states'],
  },
}

export const OWNER_STATE: CopyingContract = {
  type: 'comity.backfill-state',
  schema: {
    type: 'object',
    properties: {
      ...{ v: version, id: uuid, state: { enum: ['running', 'paused', 'sent', 'cancelled', 'failed'] } },
      ...{ reason: { type: 'string' }, estimate: count, first: count, last: count },
    },
    required: ['v', 'id', 'state'],
  },
}
