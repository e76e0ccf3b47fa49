import { ComityError, type JsonSchema } from '@comity/contract'
import type { SubsetCondition } from '../catalog/declaration.ts'
import type { Queryable } from '../postgres/database.ts'
import { keptOf } from '../replica/subset.ts'
import type { Reader } from '../subscription/reading.ts'

type State = Readonly<Record<string, unknown>>

/** What a copy makes of a state that its owner says: a row; null: none of its rows; undefined: it can't read it. */
export type Lifted = ReadonlyMap<string, State | null | undefined>

/** As of live messages: each is lifted first, and then it is asked whether the copy keeps it. */
export async function liftedStates(
  sql: Queryable,
  said: readonly { readonly key: string; readonly state: State }[],
  { reader, subset }: { readonly reader: Reader; readonly subset?: readonly SubsetCondition[] | undefined },
): Promise<Lifted> {
  const read = said.map(({ key, state }) => [key, taken(reader, () => state, key)] as const)
  const readable = read.filter((one): one is readonly [string, State] => one[1] !== undefined)
  const kept = await keptOf(
    sql,
    subset === undefined ? undefined : JSON.stringify(subset),
    JSON.stringify(readable.map(([, state]) => state)),
  )
  const outside = readable.filter((_, position) => !kept(position)).map(([key]) => [key, null] as const)
  return new Map<string, State | null | undefined>([...read, ...outside])
}

function taken(reader: Reader, written: (schema: JsonSchema) => State, key: string): State | undefined {
  try {
    return reader.take(written, key) as State
  } catch (error) {
    if (error instanceof ComityError) return undefined
    throw error
  }
}
