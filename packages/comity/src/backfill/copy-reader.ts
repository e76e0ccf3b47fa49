import { isObject, type JsonSchema } from '@comity/contract'
import { contractHash } from '../catalog/contract-hash.ts'
import { fieldsNeeded, type Kept } from '../catalog/declaration.ts'
import { partialSchema } from '../schema/index.ts'
import { type Lift, type Reader, reader } from '../subscription/reading.ts'

/** What a copy tells its owner of the versions that it can read: an owner of another one says what these need. */
export interface ReadableVersions {
  /** The hash of the one that it has. */
  readonly own: string
  /** Those that it lifts: every field that may be in one, and those that are. */
  readonly older: readonly { readonly fields: readonly string[]; readonly required: readonly string[] }[]
}

/** How a copy reads the states of its owner, whichever way they come: as messages, in chunks, in an audit's answers. */
export interface CopyReader {
  /** Of the fields that are kept. */
  readonly schema: JsonSchema
  readonly reader: Reader
  /** Absent: it lifts nothing. */
  readonly versions?: ReadableVersions
}

export function copyReader(kept: Kept, lifts: readonly Lift[]): CopyReader {
  const { entity, audience } = kept
  const schema = partialSchema(entity, fieldsNeeded(kept))
  const reads = reader({ contract: entity, schema, lifts, ...(audience === undefined ? {} : { audience }) })
  if (reads.older.length === 0) return { schema, reader: reads }
  const older = reads.older.map(({ properties, required }) => ({
    fields: Object.keys(isObject(properties) ? properties : {}),
    required: (required ?? []) as readonly string[],
  }))
  return { schema, reader: reads, versions: { own: contractHash(entity), older } }
}
