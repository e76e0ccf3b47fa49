import { arrayLiteral } from '../postgres/array-literal.ts'
import type { Database, Queryable } from '../postgres/database.ts'
import type { MoveProgress, MoveRecords } from '../transport/index.ts'
import { type Brokers, checkBrokers, lastMove } from './brokers.ts'
import { MoveGivenUp, MoveUnfinished } from './errors.ts'

const FORGET = 'delete from comity.transport_moves where from_name = $1::text and to_name = $2::text'
const BEGIN = 'insert into comity.transport_moves (from_name, to_name) values ($1::text, $2::text) on conflict do nothing'
const MARKED = `
  update comity.transport_moves set marked_at = clock_timestamp() where from_name = $1::text and to_name = $2::text and subscription = ''`

/**
 * Before a team starts: refuses brokers that its last move contradicts, and begins the move where these are the first to name it. Back
 * and forth are two moves: what an earlier one between the same brokers has left is forgotten.
 */
export async function beginMove<Tx>(team: string, database: Database<Tx>, brokers: Brokers): Promise<void> {
  if (checkBrokers(team, brokers, await lastMove(database)) === 'as it is') return
  await database.transaction(async (tx) => {
    const sql = database.join(tx)
    await sql.query('lock table comity.transport_moves in share row exclusive mode')
    // Another process may have been faster.
    if (checkBrokers(team, brokers, await lastMove(sql)) === 'as it is') return
    await sql.query(FORGET, [brokers.from, brokers.to])
    await sql.query(BEGIN, [brokers.from, brokers.to])
  })
}

/**
 * Before a relay that has the lease sends anything: once one has published to both brokers, none publishes to the old one alone. Throws
 * COMITY_MOVE_UNFINISHED or COMITY_MOVE_FINISHED.
 */
export async function admitRelay(team: string, database: Queryable, brokers: Brokers): Promise<void> {
  const last = await lastMove(database)
  const { from, to } = brokers
  if (checkBrokers(team, brokers, last) === 'another move') throw new MoveGivenUp({ team, from, to: String(to) })
  if (to !== undefined) await marked(database, brokers)
  else if (last?.marked && !last.finished) throw new MoveUnfinished({ team, ...last, here: brokers.from })
}

/** The leader publishes to both, now. */
export async function marked(database: Queryable, { from, to }: Brokers): Promise<void> {
  await database.query(MARKED, [from, to])
}

const PROGRESS = `
  select to_char(m.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as started,
    to_char(m.sent_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as sent, m.switched_at is not null as switched,
    coalesce((select s.generation from comity.subscriptions s where coalesce(s.broker_name, $4::text || s.name) = m.subscription limit 1), 0) as generation
  from comity.transport_moves m where m.from_name = $1::text and m.to_name = $2::text and m.subscription = $3::text`
const BEGIN_ONE = `
  insert into comity.transport_moves (from_name, to_name, subscription)
  select m.from_name, m.to_name, $3::text from comity.transport_moves m where m.from_name = $1::text and m.to_name = $2::text and m.subscription = ''
  on conflict do nothing`
const SWITCHED = `
  select subscription from comity.transport_moves
  where from_name = $1::text and to_name = $2::text and subscription = any ($3::text::text[]) and switched_at is not null`
const SEEN = `
  update comity.transport_moves set sent_at = $4::text::timestamptz, proven_at = clock_timestamp()
  where from_name = $1::text and to_name = $2::text and subscription = $3::text and started_at = $5::text::timestamptz and sent_at is null`
/* A replay that was asked for since the look has another generation, and until the position is there, a place to go to. */
const SWITCH = `
  update comity.transport_moves m set switched_at = clock_timestamp()
  where m.from_name = $1::text and m.to_name = $2::text and m.subscription = $3::text and m.started_at = $4::text::timestamptz and m.switched_at is null
    and not exists (select from comity.subscriptions s
      where coalesce(s.broker_name, $5::text || s.name) = m.subscription and (s.generation <> $6::int or s.seek is not null))`
const RESTART = `
  insert into comity.transport_moves as m (from_name, to_name, subscription)
  select w.from_name, w.to_name, $3::text from comity.transport_moves w where w.from_name = $1::text and w.to_name = $2::text and w.subscription = ''
  on conflict (from_name, to_name, subscription) do update set started_at = clock_timestamp(), sent_at = null, proven_at = null
  where m.switched_at is null returning m.subscription`

/** The records of one move in the team's database: so every process, also after a restart, reads where the others do. */
export function transportMoves(options: {
  readonly team: string
  readonly database: Queryable
  readonly brokers: Brokers
  readonly namespace: string
}): MoveRecords {
  const { team, database, brokers, namespace } = options
  const givenUp = () => new MoveGivenUp({ team, from: brokers.from, to: String(brokers.to) })
  const move = [brokers.from, brokers.to]
  const prefix = namespace === '' ? '' : `${namespace}.`

  async function find(subscription: string): Promise<MoveProgress | undefined> {
    const { rows } = await database.query<{ started: string; sent: string | null; switched: boolean; generation: number }>(PROGRESS, [
      ...move,
      subscription,
      prefix,
    ])
    const row = rows[0]
    if (row === undefined) return undefined
    const { started: startedAt, sent, switched, generation } = row
    return { startedAt, sentAt: sent === null ? undefined : new Date(sent), switched, generation }
  }

  return {
    async progress(subscription) {
      const known = await find(subscription)
      if (known !== undefined) return known
      await database.query(BEGIN_ONE, [...move, subscription])
      const begun = await find(subscription)
      if (begun === undefined) throw givenUp()
      return begun
    },
    async switched(subscriptions) {
      const { rows } = await database.query<{ subscription: string }>(SWITCHED, [...move, arrayLiteral(subscriptions)])
      return new Set(rows.map(({ subscription }) => subscription))
    },
    async seen(subscription, sentAt, { startedAt }) {
      await database.query(SEEN, [...move, subscription, sentAt.toISOString(), startedAt])
    },
    async switch(subscription, { startedAt, generation }) {
      await database.query(SWITCH, [...move, subscription, startedAt, prefix, generation])
    },
    async restart(subscription) {
      if ((await database.query(RESTART, [...move, subscription])).rows.length > 0) return true
      if ((await find(subscription)) === undefined) throw givenUp()
      return false
    },
  }
}
