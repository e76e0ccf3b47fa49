import { ComityError, type ContractDescription, fieldsOn } from '@comity/contract'
import type { SubsetCondition } from '../catalog/declaration.ts'
import type { Queryable } from '../postgres/database.ts'
import { compile, HARD_MAX_BYTES, parseJson, picker } from '../schema/index.ts'
import { BackfillRefused } from './errors.ts'

/** One entity as a copy gets it. */
export interface PublishedEntity {
  /** The state's declared fields as JSON text, or why it can't be said. */
  stateOf(state: string | null, withheld: string | null): { readonly text: string } | { readonly withheld: true }
}

export interface Wanted {
  /** Who asks. */
  readonly from: string
  readonly replica: string
  readonly entity: string
  readonly audience?: string | undefined
  readonly fields: readonly string[]
  /** Which rows: it tells the values of its fields, so these have to be granted, too. */
  readonly subset?: readonly SubsetCondition[] | undefined
}

/**
 * What the database says of an entity, for one copy. Throws COMITY_BACKFILL_REFUSED for what the asking team was not granted: an audience is
 * the team of its name.
 */
export async function publishedEntity(database: Queryable, wanted: Wanted): Promise<PublishedEntity> {
  const { from, replica, entity, audience, fields, subset = [] } = wanted
  const { rows } = await database.query<{ description: string }>(
    `select description::text as description from comity.contracts where topic = $1::text and kind = 'entity'`,
    [entity],
  )
  const refuse = (reason: string): never => {
    throw new BackfillRefused({ replica, reason })
  }
  const description = rows[0]?.description
  if (description === undefined) return refuse(`this team does not own ${entity}`)
  const contract = JSON.parse(description) as ContractDescription
  const audiences = Object.keys(contract.audiences)
  if (audiences.length > 0 && (audience === undefined || !audiences.includes(audience)))
    return refuse(`${entity} has the audiences ${audiences.join(', ')}, and not ${audience ?? 'none'}`)
  if (audiences.length > 0 && audience !== from) return refuse(`the audience ${audience} is not the team ${from}`)
  const granted = fieldsOn(contract, audiences.length === 0 ? undefined : audience)
  const other = [...fields, ...subset.map(({ field }) => field)].find((field) => !granted.includes(field))
  if (other !== undefined) return refuse(`${entity} has no field ${other} for it`)
  const validator = compile(contract.schema)
  const pick = picker(contract, fields)
  return {
    stateOf(state, withheld) {
      if (withheld !== null || state === null) return { withheld: true }
      const data = parsed(state)
      // By the relay's rules: what it would withhold is said to nobody.
      if (data === undefined || validator.validate(data) !== undefined) return { withheld: true }
      return { text: JSON.stringify(pick(data)) }
    },
  }
}

function parsed(state: string): Record<string, unknown> | undefined {
  try {
    return parseJson(state, HARD_MAX_BYTES) as Record<string, unknown>
  } catch (error) {
    if (error instanceof ComityError) return undefined
    throw error
  }
}
