import { withClient } from '../stage.ts'
import type { Peer } from './peer.ts'

/** `pg`: a batch an INSERT from arrays; a batch a SELECT by position, and the position saved after it. No buckets, leases or fences. */
export const postgresPeer: Peer = async (url, { events, batch, sample }) => {
  await withClient(url, (client) =>
    client.query(`
      create table raw (position bigint generated always as identity primary key, id text, key text, attributes text, data text);
      create table raw_position (position bigint); insert into raw_position values (0)`),
  )
  const publish = withClient(url, async (client) => {
    for (let from = 0; from < events; from += batch) {
      const messages = Array.from({ length: batch }, (_, n) => sample(from + n))
      await client.query({
        name: 'publish',
        text: 'insert into raw (id, key, attributes, data) select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])',
        values: [
          messages.map(({ id }) => id),
          messages.map(({ key }) => key),
          messages.map(({ attributes }) => JSON.stringify(attributes)),
          messages.map(({ data }) => data),
        ],
      })
    }
  })
  const consume = withClient(url, async (client) => {
    let [position, received] = ['0', 0]
    while (received < events) {
      const { rows } = await client.query<[string, string, string, string, string]>({
        name: 'consume',
        rowMode: 'array',
        text: 'select position, id, key, attributes, data from raw where position > $1 order by position limit 2000',
        values: [position],
      })
      if (rows.length === 0) continue
      for (const row of rows) JSON.parse(row[3])
      received += rows.length
      position = rows.at(-1)?.[0] as string
      await client.query({ name: 'acknowledge', text: 'update raw_position set position = $1', values: [position] })
    }
  })
  await Promise.all([publish, consume])
}
