import { type Queryable, type Team, team } from 'comity'
import { Renamed1, Renamed2, Renamed3 } from './versions.ts'

interface Effect {
  readonly id: string
  readonly key: string
  readonly version: number
  readonly mark: string
  readonly name: string
}

async function note(tx: Queryable, effect: Effect): Promise<void> {
  await tx.query(
    'insert into effects (message, key, version, mark, name) values ($1::text, $2::text, $3::text::bigint, $4::text, $5::text)',
    [...[effect.id, effect.key, String(effect.version), effect.mark, effect.name]],
  )
}

export function before(): Team<Queryable> {
  return team('marketing').on(Renamed1, ({ id, key, version, data }, { tx }) =>
    note(tx, { id, key, version, mark: data.mark, name: data.name }),
  )
}

/** Reads only what is to stay, and lifts what was sent before. */
export function moved(): Team<Queryable> {
  return team('marketing')
    .on(Renamed3, ({ id, key, version, data }, { tx }) => note(tx, { id, key, version, mark: data.mark, name: data.fullName }), {
      fields: ['mark', 'fullName'],
    })
    .lifts(Renamed2, Renamed3, ({ id, mark, name, fullName }) => ({ id, mark, fullName: fullName ?? name }))
    .lifts(Renamed1, Renamed3, ({ id, mark, name }) => ({ id, mark, fullName: name }))
}
