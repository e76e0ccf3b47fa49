import type { Queryable } from '../postgres/database.ts'
import { MoveFinished, MoveUnfinished } from './errors.ts'

/** The brokers of one process, by the names under which a move is recorded: never a secret. */
export interface Brokers {
  readonly from: string
  /** Where the team moves to; undefined = it does not move. */
  readonly to?: string | undefined
}

/** The team's last move, over or not. */
export interface LastMove {
  readonly from: string
  readonly to: string
  /** A relay has published to both: none may publish to the old one alone any more. */
  readonly marked: boolean
  readonly finished: boolean
}

const LAST = `
  select from_name as "from", to_name as "to", marked_at is not null as marked, finished_at is not null as finished
  from comity.transport_moves where subscription = '' order by started_at desc limit 1`

export async function lastMove(sql: Queryable): Promise<LastMove | undefined> {
  return (await sql.query<LastMove>(LAST)).rows[0]
}

/**
 * Whether a process with these brokers may run beside that move. Throws COMITY_MOVE_UNFINISHED or COMITY_MOVE_FINISHED: it would leave messages
 * behind at a broker that nobody reads any more, or send them where nobody reads.
 * @returns whether it begins another move
 */
export function checkBrokers(team: string, { from, to }: Brokers, last: LastMove | undefined): 'as it is' | 'another move' {
  if (last === undefined) return to === undefined ? 'as it is' : 'another move'
  if (to !== undefined && last.from === from && last.to === to) return 'as it is'
  if (last.finished) {
    if (from === last.from) throw new MoveFinished({ team, from: last.from, to: last.to })
    return to === undefined ? 'as it is' : 'another move'
  }
  // Those that were not restarted yet go on reading the old one: everything comes there too.
  if (to === undefined && from === last.from) return 'as it is'
  if (to !== undefined && !last.marked) return 'another move'
  throw new MoveUnfinished({ team, from: last.from, to: last.to, here: to === undefined ? from : `${from} and ${to}` })
}
