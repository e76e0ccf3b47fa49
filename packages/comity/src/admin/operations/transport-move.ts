import type { JsonSchema } from '@comity/contract'
import { AlreadySwitched, NoMove, NotSwitched } from '../errors.ts'
import { transportMove } from '../reads/transport-move.ts'
import type { Operation } from './operation.ts'

const ARGUMENTS: JsonSchema = {
  type: 'object',
  properties: { to: { type: 'string', minLength: 1 } },
  required: ['to'],
  additionalProperties: false,
}
const FINISH = `
  update comity.transport_moves set finished_at = coalesce(finished_at, clock_timestamp())
  where from_name = $1::text and to_name = $2::text and subscription = ''`
const ABANDON = 'delete from comity.transport_moves where from_name = $1::text and to_name = $2::text'

/** A move is over: processes may publish to the new broker alone. Throws COMITY_NOT_SWITCHED while a subscription of the team has not switched. */
export const finishMove: Operation<{ readonly to: string }> = {
  kind: 'finish-move',
  arguments: ARGUMENTS,
  async run(sql, { declaration, environment }, { to }) {
    const move = await transportMove(declaration, { database: sql, namespace: environment.namespace })
    if (move?.to !== to) throw new NoMove({ team: declaration.team, to })
    const left = move.subscriptions.filter(({ state }) => state !== 'switched').map(({ name }) => name)
    if (left.length > 0 || move.publishedToBothAt === null)
      throw new NotSwitched({ team: declaration.team, what: left.length > 0 ? left.join(', ') : 'its relay' })
    await sql.query(FINISH, [move.from, move.to])
    return { from: move.from, to: move.to }
  },
}

/** A move is given up before anything has switched: processes may go on with the old broker alone. Throws COMITY_NOT_SWITCHED if something has. */
export const abandonMove: Operation<{ readonly to: string }> = {
  kind: 'abandon-move',
  arguments: ARGUMENTS,
  async run(sql, { declaration, environment }, { to }) {
    // Nothing switches meanwhile.
    await sql.query('lock table comity.transport_moves in share row exclusive mode')
    const move = await transportMove(declaration, { database: sql, namespace: environment.namespace })
    if (move?.to !== to || move.finishedAt !== null) throw new NoMove({ team: declaration.team, to })
    const gone = move.subscriptions.filter(({ state }) => state === 'switched').map(({ name }) => name)
    if (gone.length > 0) throw new AlreadySwitched({ team: declaration.team, subscriptions: gone.join(', ') })
    await sql.query(ABANDON, [move.from, move.to])
    return { from: move.from, to: move.to }
  },
}
