import { provisionPlan } from 'comity/admin'
import { postgresTransport, rolesSql } from 'comity/transport'
import pg from 'pg'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { newBroker, newOperated } from './operated.ts'

test('on the bus, a team says what is its own and hears what it may hear, and nothing else of control', async () => {
  const { url, name } = await freshDatabase()
  const operator = postgresTransport({ url, allowUnsafe: true })
  const on = await newOperated(await newBroker('memory'))
  for (const { declaration } of [on.crm, on.platform]) await operator.provision(provisionPlan(declaration, ''))
  const admin = new pg.Client(url)
  await admin.connect()
  // Roles belong to the whole server: named after the database, so that tests do not meet.
  await admin.query(
    rolesSql(
      ['crm', 'platform'].map((team) => ({ team, role: `${team}_${name}` })),
      { database: name },
    ),
  )
  await admin.end()
  const as = (team: string) => {
    const own = new URL(url)
    own.username = `${team}_${name}`
    return postgresTransport({ url: own.href, allowUnsafe: true })
  }
  const [crm, platform] = [as('crm'), as('platform')]
  const message = { id: 'm', key: 'crm', attributes: {}, data: '{}' }
  const forbidden = { code: 'COMITY_TRANSPORT_FORBIDDEN' }

  for (const kind of ['declaration', 'heartbeat', 'answer'])
    expect(await crm.send(`comity.crm.${kind}`, [message])).toEqual([{ status: 'stored' }])
  expect(await platform.send('comity.platform.commands', [message])).toEqual([{ status: 'stored' }])
  expect(await crm.stats(['crm.comity-platform-commands'])).toMatchObject([{ backlog: 1 }])
  expect(await platform.stats(['platform.comity-crm-heartbeat', 'platform.comity-crm-answer'])).toMatchObject([
    { backlog: 1 },
    { backlog: 1 },
  ])

  // Everybody speaks on the topic of all, and reads it for itself.
  for (const one of [crm, platform]) expect(await one.send('comity.catalog', [message])).toEqual([{ status: 'stored' }])
  expect(await crm.stats(['crm.comity.catalog'])).toMatchObject([{ backlog: 2 }])
  await expect(crm.stats(['platform.comity.catalog'])).rejects.toMatchObject(forbidden)

  await expect(crm.send('comity.platform.commands', [message])).rejects.toMatchObject(forbidden)
  await expect(platform.send('comity.crm.answer', [message])).rejects.toMatchObject(forbidden)
  await expect(crm.stats(['platform.comity-crm-heartbeat'])).rejects.toMatchObject(forbidden)
  await expect(platform.stats(['crm.comity-platform-commands'])).rejects.toMatchObject(forbidden)
  // Who operates nobody has no topic to command by.
  await expect(crm.send('comity.crm.commands', [message])).rejects.toMatchObject({ code: 'COMITY_TOPIC_UNKNOWN' })
  for (const transport of [crm, platform, operator]) await transport.close()
  await on.close()
})
