import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import { copyStatements } from '../replica/copy-statements.ts'
import type { ReplicaShape } from '../replica/replica-columns.ts'
import { VERSION_COLUMN } from '../replica/replica-sql.ts'
import type { Permit } from '../subscription/permits.ts'
import type { Reader } from '../subscription/reading.ts'
import type { AuditedShape } from './audited-copy.ts'
import { KEYS_AT_ONCE, type SaidState } from './contracts.ts'
import { liftedStates } from './lifted-states.ts'
import type { Questions } from './questions.ts'
import { fitsKey, isKey, tableOf } from './row-source.ts'
import type { SettledKey } from './settle-suspects.ts'

/* Every transaction that consumes holds the rows of its lanes; these keys are of all of them. In one order, as a backfill does it. */
const LOCK_LANES = 'select 1 from comity.lanes where subscription = $1::text order by lane for update'
const LOWER_TOMBSTONES = `
  update comity.tombstones t set version = $4::text::bigint from unnest($1::text::text[], $2::text::bigint[]) k(key, seen)
  where t.replica = $3::text and t.key = k.key and t.version = k.seen and t.version > $4::text::bigint`

/** A copy whose rows are to be said anew. */
export interface RepairedCopy {
  readonly database: Database
  readonly shape: AuditedShape
  readonly reader: Reader
  readonly permit: Permit
  readonly onApplied: (keys: readonly string[]) => void
}

/**
 * Has the owner say these keys anew, to this copy alone, under a version drawn for that, and applies it as every other change: only over an older
 * version, under the lanes' locks. A version that no history of the owner's has (`ahead`) would refuse everything: it is lowered first, if it
 * still is the one that was seen.
 * @returns the newest version that was drawn; 0 if nothing was said
 */
export async function repairKeys(drifted: readonly SettledKey[], copy: RepairedCopy, questions: Questions): Promise<number> {
  let newest = 0
  for (let from = 0; from < drifted.length; from += KEYS_AT_ONCE) {
    const some = drifted.slice(from, from + KEYS_AT_ONCE)
    const seen = new Map(some.map(({ key, version }) => [key, version]))
    for (const { version, states } of await questions.ask<'states'>({ kind: 'states', keys: some.map(({ key }) => key) })) {
      const asked = states.filter(({ key, withheld }) => seen.has(key) && withheld === undefined && fitsKey(copy.shape, key))
      await copy.permit(() => copy.database.transaction((tx) => apply(copy.database.join(tx), copy, version, asked, seen)))
      copy.onApplied(asked.map(({ key }) => key))
      newest = Math.max(newest, version)
    }
  }
  return newest
}

async function apply(
  sql: Queryable,
  { shape, reader }: RepairedCopy,
  version: number,
  said: readonly SaidState[],
  seen: ReadonlyMap<string, number>,
): Promise<void> {
  const { name } = shape
  const statements = await copyStatements().of(sql, name)
  await sql.query(LOCK_LANES, [name])
  const impossible = said.filter(({ key }) => (seen.get(key) ?? 0) >= version).map(({ key }) => key)
  if (impossible.length > 0) {
    const versions = arrayLiteral(impossible.map((key) => String(seen.get(key))))
    await sql.query(lowerRows(shape), [arrayLiteral(impossible), versions, String(version - 1)])
    await sql.query(LOWER_TOMBSTONES, [arrayLiteral(impossible), versions, name, String(version - 1)])
  }
  const lifted = await liftedStates(
    sql,
    said.flatMap(({ key, state }) => (state === null ? [] : [{ key, state }])),
    { reader, subset: shape.subset },
  )
  const states = [...lifted].flatMap(([key, state]) => (state ? [{ key, state }] : []))
  const gone = said.filter(({ key, state }) => state === null || lifted.get(key) === null)
  const keysOf = (some: readonly Pick<SaidState, 'key'>[]): string => arrayLiteral(some.map(({ key }) => key))
  const versionsOf = (some: readonly Pick<SaidState, 'key'>[]): string => arrayLiteral(some.map(() => version))
  for (const table of [statements, ...(statements.rebuilt ? [statements.rebuilt] : [])]) {
    if (states.length > 0)
      await sql.query(table.upsert, [keysOf(states), versionsOf(states), JSON.stringify(states.map(({ state }) => state)), name])
    if (gone.length > 0) await sql.query(table.remove, [keysOf(gone), versionsOf(gone), name])
  }
}

function lowerRows(shape: ReplicaShape): string {
  return `
    update ${tableOf(shape)} r set ${VERSION_COLUMN} = $3::text::bigint from unnest($1::text::text[], $2::text::bigint[]) k(key, seen)
    where ${isKey(shape)} and r.${VERSION_COLUMN} = k.seen and r.${VERSION_COLUMN} > $3::text::bigint`
}
