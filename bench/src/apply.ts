import { pipeline } from 'node:stream/promises'
import { messageId, sourceOf, toAttributes } from '@comity/contract'
import { memoryBus, team } from 'comity'
import pgCopy from 'pg-copy-streams'
import { type Round, timed } from './measure.ts'
import { CREATE_CUSTOMERS, Customer, GENERATED, type Stage, stage, withClient } from './stage.ts'

/** Applying changes that lie ready in memory to a copy. Limit: COPY and merge of the same columns. */
export async function apply(events: number): Promise<Round> {
  await using on = await stage()
  const bus = memoryBus()
  const keeper = team('keeper', { database: on.keeper, transport: bus.connect() }).keeps(Customer, {
    fields: ['agencyId', 'email', 'name', 'city', 'note'],
  })
  await keeper.migrate()
  await keeper.provision()
  const { rows } = await withClient(on.owner, async (client) => {
    await client.query(CREATE_CUSTOMERS)
    await client.query(`insert into customers ${GENERATED}`, [1, events])
    return client.query<{ id: string }>(
      `select id, json_build_object('id', id, 'agencyId', agency_id, 'email', email, 'name', name, 'city', city, 'note', note)::text as data from customers`,
    )
  })
  const time = new Date().toISOString()
  const sender = bus.connect()
  const messages = (rows as { id: string; data: string }[]).map(({ id: key, data }, i) => {
    const id = messageId('owner', i + 1)
    return {
      id,
      key,
      attributes: toAttributes({ id, source: sourceOf('owner'), type: Customer.name, subject: key, time, version: i + 1, kind: 'created' }),
      data,
    }
  })
  for (let i = 0; i < messages.length; i += 1000) await sender.send(Customer.name, messages.slice(i, i + 1000))

  const measured = await timed(async () => {
    await keeper.start()
    await keeper.caughtUp()
  })
  await keeper.stop()
  return { events, ...measured, limitRate: await copyAndMerge(on, events) }
}

/** The limit of every way into a replica: COPY out of one database, COPY into a staging table of the other, one merge. Events per second. */
export async function copyAndMerge(on: Pick<Stage, 'owner' | 'keeper'>, events: number): Promise<number> {
  return withClient(on.owner, (from) =>
    withClient(on.keeper, async (to) => {
      await to.query(
        'create table limit_rows (id bigint primary key, agency_id text, email text, name text, city text, note text, version bigint)',
      )
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
