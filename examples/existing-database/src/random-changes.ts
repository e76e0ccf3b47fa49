import type pg from 'pg'

export interface Changes {
  transactions: number
  rows: number
  rolledBack: number
}

/** Plain SQL of every shape that changes a table, chosen by a seed: single and many rows, upserts, new keys, deletes, rollbacks. */
export async function changeCities(
  client: pg.PoolClient,
  { seed, transactions, signal }: { readonly seed: number; readonly transactions: number; readonly signal: AbortSignal },
  counted: Changes,
): Promise<void> {
  const random = randomFrom(seed)
  const upTo = (limit: number): number => Math.floor(random() * limit)
  const { rows } = await client.query<{ city_id: number }>('select city_id from cities order by city_id')
  const known = rows.map(({ city_id }) => city_id)
  const some = (): number => known[upTo(known.length)] ?? 0
  let last = 1_000_000_000 // above every id that GeoNames uses

  const statements: readonly (() => [string, unknown[]])[] = [
    () => ['update cities set population = $2 where city_id = $1', [some(), upTo(10_000_000)]],
    () => [
      "update cities set name = $2, alt_name = '' where city_id = $1",
      [some(), `Nový Ōsaka ${upTo(1e6)} "\\${String.fromCodePoint(0x1f3d9)}`],
    ],
    () => ['update cities set admin_code = $2 where city_id = $1', [some(), String(upTo(99))]], // not kept by Travel
    () => ['update cities set population = population + 1 where city_id = any($1)', [Array.from({ length: 2 + upTo(50) }, some)]],
    () => ['delete from cities where city_id = $1', [some()]],
    () => ['delete from cities where city_id = any($1)', [Array.from({ length: 2 + upTo(5) }, some)]],
    () => ['update cities set city_id = $2 where city_id = $1', [some(), newKey()]], // another key: one goes, one comes
    () => [
      `insert into cities select $1 + i, 'Neustadt ' || i, '', 'XX', null, 'PPL', '00', i, i / 10.0, -i / 7.0 from generate_series(1, $2::int) i`,
      [skip(20), 1 + upTo(20)],
    ],
    () => [
      `insert into cities select city_id, name, alt_name, country, muni, feature_code, admin_code, population, longitude, latitude from cities
       where city_id = $1 on conflict (city_id) do update set feature_code = 'PPLX', latitude = -cities.latitude`,
      [some()],
    ],
  ]
  function newKey(): number {
    known[upTo(known.length)] = ++last
    return last
  }
  /** Keys after the answer, as many, are free. */
  function skip(keys: number): number {
    last += keys
    return last - keys
  }

  for (let done = 0; done < transactions && !signal.aborted; done++) {
    await client.query('begin')
    let changed = 0
    for (let statement = 0; statement <= upTo(2); statement++) {
      const [sql, values] = (statements[upTo(statements.length)] as (typeof statements)[number])()
      changed += (await client.query(sql, values)).rowCount ?? 0
    }
    if (random() < 0.1) {
      await client.query('rollback')
      counted.rolledBack++
    } else {
      await client.query('commit')
      counted.transactions++
      counted.rows += changed
    }
  }
}

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
