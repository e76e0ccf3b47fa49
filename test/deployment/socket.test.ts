import { event } from '@comity/contract'
import { team } from 'comity'
import pg from 'pg'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../support/postgres.ts'

/** As Cloud SQL is reached from Cloud Run: docs/deployment.md. */
test('a team and its bus work over a socket whose folder the URL names', async () => {
  const Opened = event('door.opened', { key: 'id', data: z.object({ id: z.string() }) })
  const [database, bus] = [await throughSocket((await freshDatabase()).url), await throughSocket((await freshDatabase()).url)]
  const seen: string[] = []
  const options = { transport: bus, autoMigrate: true, allowUnsafe: true }
  await using door = team('door', { ...options, database }).publishes(Opened)
  const another = await throughSocket((await freshDatabase()).url)
  await using bell = team('bell', { ...options, database: another }).on(Opened, async ({ key }) => void seen.push(key))
  await door.start()
  await bell.start()
  const client = new pg.Client(database)
  await client.connect()
  await client.query(`select comity.publish('door.opened', '{"id":"front"}')`)
  await client.end()
  await door.drained()
  await bell.caughtUp()
  expect(seen).toEqual(['front'])
})

async function throughSocket(url: string): Promise<string> {
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query(
    `select split_part(current_setting('unix_socket_directories'), ',', 1) as folder, current_setting('port') as port, current_database() as name`,
  )
  await client.end()
  const { folder, port, name } = rows[0]
  return `postgres://postgres@/${name}?host=${encodeURIComponent(folder)}&port=${port}`
}
