import { TeamNotForgotten } from '../errors.ts'
import type { Operation } from './operation.ts'

/** Heard within this time it would be back at once. */
const FORGET = `
  delete from comity.catalog where team = $1::text and heard_at < clock_timestamp() - interval '3 minutes' returning team`

/**
 * Takes a team that is no more out of this database's map, with its contracts and copies: until somebody does, whatever reads the map counts with it. One
 * that speaks again is there again. Throws COMITY_TEAM_NOT_FORGOTTEN for one that was heard just now, or never.
 */
export const forgetTeam: Operation<{ readonly team: string }> = {
  kind: 'forget-team',
  arguments: { type: 'object', properties: { team: { type: 'string', minLength: 1 } }, required: ['team'], additionalProperties: false },
  async run(sql, _, { team }) {
    if ((await sql.query(FORGET, [team])).rows.length === 0) throw new TeamNotForgotten({ team })
    for (const table of ['catalog_contracts', 'catalog_fields'])
      await sql.query(`delete from comity.${table} where team = $1::text`, [team])
    return { team }
  },
}
