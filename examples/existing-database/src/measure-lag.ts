import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'

/**
 * Changes one city again and again, and looks each time how long after the COMMIT a query in the other database finds it. The looking
 * itself takes about a millisecond, which is counted.
 * @returns milliseconds, sorted
 */
export async function measureLag(owner: pg.Pool, copy: pg.Pool, samples: number): Promise<readonly number[]> {
  const { rows } = await owner.query<{ city_id: number }>('select city_id from cities order by city_id limit 1')
  const lags: number[] = []
  for (let sample = 1; sample <= samples; sample++) {
    await owner.query('update cities set population = $2 where city_id = $1', [rows[0]?.city_id, sample])
    const committed = performance.now()
    const seen = async (): Promise<boolean> => {
      const found = await copy.query('select from atlas_city where city_id = $1 and population = $2', [rows[0]?.city_id, sample])
      return found.rowCount === 1
    }
    while (!(await seen())) await delay(1)
    lags.push(performance.now() - committed)
  }
  return lags.sort((a, b) => a - b)
}
