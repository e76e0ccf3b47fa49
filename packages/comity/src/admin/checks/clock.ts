import { type Check, error, ok, warning } from './check.ts'

/** Leases go by the database's clock; times of events, and limits, by both. */
export const clock: Check = {
  name: 'clock',
  async look(_, { database }) {
    const before = Date.now()
    const { rows } = await database.query<{ now: number }>('select extract(epoch from clock_timestamp())::float8 * 1000 as now')
    const after = Date.now()
    const apart = (rows[0]?.now ?? before) - (before + after) / 2
    // What the question itself took can not be told from a difference.
    const seconds = Math.max(0, Math.abs(apart) - (after - before) / 2) / 1000
    const found = `this process's clock is ${seconds.toFixed(1)} s ${apart > 0 ? 'behind' : 'ahead of'} the database's`
    if (seconds > 60) return [error(found, 'let both hosts keep time (NTP)')]
    if (seconds > 1) return [warning(found, 'let both hosts keep time (NTP)')]
    return [ok('within a second of the database’s')]
  },
}
