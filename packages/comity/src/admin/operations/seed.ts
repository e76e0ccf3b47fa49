import type { JsonSchema } from '@comity/contract'
import { judgeOf } from '../../outbox/judge.ts'
import { arrayLiteral } from '../../postgres/array-literal.ts'
import { NotSeedable, SeedRefused } from '../errors.ts'
import type { Operation } from './operation.ts'

/** States of one entity that this team publishes by code, from before it was published first. */
export interface SeedArguments {
  readonly entity: string
  /** Most recent last; at most a thousand. */
  readonly states: readonly Readonly<Record<string, unknown>>[]
}
const ARGUMENTS: JsonSchema = {
  type: 'object',
  properties: {
    entity: { type: 'string', minLength: 1 },
    states: { type: 'array', items: { type: 'object' }, minItems: 1, maxItems: 1000 },
  },
  required: ['entity', 'states'],
  additionalProperties: false,
}

/**
 * Makes states known that nobody has announced: a backfill brings them to the copies that ask for one, subscriptions get no message. A key that was
 * published already stays as it is. One that breaks the contract refuses all of them: COMITY_SEED_REFUSED names it by its place.
 */
export const seed: Operation<SeedArguments> = {
  kind: 'seed',
  arguments: ARGUMENTS,
  async run(sql, { declaration }, { entity, states }) {
    const owned = declaration.owns.find((one) => one.entity.name === entity && one.table === undefined)
    if (owned === undefined) {
      const entities = declaration.owns.filter(({ table }) => table === undefined).map((one) => one.entity.name)
      throw new NotSeedable({ team: declaration.team, entity, entities: entities.join(', ') || 'none' })
    }
    const judge = judgeOf(owned.entity)
    const texts = states.map((state) => JSON.stringify(state))
    for (const [i, payload] of texts.entries()) {
      const verdict = judge({ kind: 'updated', payload, headers: null })
      if (verdict !== undefined) throw new SeedRefused({ entity, place: i + 1, problem: `${verdict.path ?? ''} ${verdict.reason}`.trim() })
    }
    const { rows } = await sql.query<{ taken: number }>('select comity.seed($1::text, $2::text::text[]) as taken', [
      entity,
      arrayLiteral(texts),
    ])
    return { entity, states: states.length, taken: rows[0]?.taken ?? 0 }
  },
}
