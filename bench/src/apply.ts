import { pipeline } from 'node:stream/promises'
import pgCopy from 'pg-copy-streams'
import { type Stage, withClient } from './stage.ts'

/** The limit of every way into a replica: COPY out of one database, COPY into a staging table of the other, one merge. Events per second. */
export async function copyAndMerge(on: Pick<Stage, 'owner' | 'keeper'>, events: number): Promise<number> {
  return withClient(on.owner, (from) =>
    withClient(on.keeper, async (to) => {
      await to.query('create table limit_rows (id bigint primary key, agency_id text, email text, name text, city text, note text, version bigint)')
      await to.query('create unlogged table limit_staging (like limit_rows)')
      const start = performance.now()
      const out = from.query(pgCopy.to(`copy (select *, 1::bigint from customers limit ${events}) to stdout`))
      await pipeline(out, to.query(pgCopy.from('copy limit_staging from stdin')))
      await to.query(`insert into limit_rows select * from limit_staging
        on conflict (id) do update set version = excluded.version where limit_rows.version < excluded.version`)
      const seconds = (performance.now() - start) / 1000
      await to.query('drop table limit_rows, limit_staging')
      return events / seconds
    }),
  )
}

