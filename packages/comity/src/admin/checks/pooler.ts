import type { PostgresDatabase } from '../../postgres/index.ts'
import { type Check, ok, warning } from './check.ts'

const PID = 'select pg_backend_pid() as pid'

/** Two connections that are open at once have two backends, unless a pooler lends one backend to whoever has a statement. */
export const pooler: Check = {
  name: 'pooler',
  async look(_, { database }) {
    if (!('session' in database)) return [ok('not looked for: the connections are those of your own library')]
    const { session } = database as PostgresDatabase
    const pids = await session(async (first) => {
      const before = await first.query<{ pid: number }>(PID)
      const between = await session((second) => second.query<{ pid: number }>(PID))
      return [before.rows[0]?.pid, between.rows[0]?.pid]
    })
    if (pids[0] !== pids[1]) return [ok('none that shares backends between transactions')]
    return [
      warning(
        'a pooler in transaction mode stands in between: what a session sets or locks leaks into others, and time limits may not hold',
        'give a URL of the server itself, or of a pool in session mode',
      ),
    ]
  },
}
