import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, onEachPostgres } from '../../../../test/support/postgres.ts'
import { migrateBus, type PostgresTransport, postgresTransport, rolesSql } from '../../src/transport/index.ts'

onEachPostgres('roles on the bus', (server) => {
  let operator: PostgresTransport
  let crm: Client
  let crmTransport: PostgresTransport
  let url: string

  beforeAll(async () => {
    const database = await freshDatabase({ server })
    url = database.url
    await migrateBus({ url })
    // Roles belong to the whole server: named after the database, so that tests do not meet.
    const [crmRole, marketingRole] = [`crm_${database.name}`, `marketing_${database.name}`]
    const admin = new Client(url)
    await admin.connect()
    const sql = rolesSql(
      [
        { role: crmRole, team: 'crm' },
        { role: marketingRole, team: 'marketing' },
      ],
      { database: database.name },
    )
    await admin.query(sql)
    await admin.query(sql) // repeating is fine
    await admin.end()
    operator = postgresTransport({ url, allowUnsafe: true })
    await operator.provision({
      topics: [
        { name: 'crm.customer', team: 'crm' },
        { name: 'marketing.sent', team: 'marketing' },
      ],
      subscriptions: [
        { name: 'crm.sent', team: 'crm', topic: 'marketing.sent' },
        { name: 'marketing.customers', team: 'marketing', topic: 'crm.customer' },
      ],
    })
    const crmUrl = new URL(url)
    crmUrl.username = crmRole
    crm = new Client(crmUrl.href)
    await crm.connect()
    crmTransport = postgresTransport({ url: crmUrl.href, allowUnsafe: true })
  })
  afterAll(async () => {
    await crm.end()
    await crmTransport.close()
    await operator.close()
  })

  const message = { id: 'm1', key: 'k', attributes: {}, data: '{}' }
  const forbidden = { code: 'COMITY_TRANSPORT_FORBIDDEN' }
  const subscriptionId = async (name: string): Promise<number> => {
    const admin = new Client(url)
    await admin.connect()
    const { rows } = await admin.query<{ id: number }>('select id from comity_bus.subscriptions where name = $1', [name])
    await admin.end()
    return rows[0]?.id as number
  }

  test('a team does everything that is its own', async () => {
    const fence = { team: 'crm', incarnation: 1, term: 1, holder: 'p' }
    expect(await crmTransport.send('crm.customer', [message], { fence })).toEqual([{ status: 'stored' }])
    expect(await crmTransport.claim({ team: 'crm', incarnation: 1, holder: 'p' })).toMatchObject({ status: 'granted' })
    await operator.send('marketing.sent', [message])
    expect(await crmTransport.stats(['crm.sent'])).toMatchObject([{ backlog: 1 }])
    const receive = async (): Promise<void> => {
      const abort = new AbortController()
      await crmTransport.receive(
        'crm.sent',
        async (deliveries) => {
          abort.abort()
          return deliveries.map(() => 'ack')
        },
        { signal: abort.signal },
      )
    }
    await receive()
    expect(await crmTransport.stats(['crm.sent'])).toMatchObject([{ backlog: 0 }])
    await crmTransport.seek('crm.sent', 'beginning')
    await receive()
  })

  test('a team cannot speak or listen for another through its transport', async () => {
    const signal = new AbortController().signal
    const handler = async (): Promise<[]> => []
    await expect(crmTransport.send('marketing.sent', [message])).rejects.toMatchObject(forbidden)
    await expect(
      crmTransport.send('crm.customer', [message], { fence: { team: 'marketing', incarnation: 1, term: 1, holder: 'p' } }),
    ).rejects.toMatchObject(forbidden)
    await expect(crmTransport.claim({ team: 'marketing', incarnation: 99, holder: 'p' })).rejects.toMatchObject(forbidden)
    await expect(crmTransport.receive('marketing.customers', handler, { signal })).rejects.toMatchObject(forbidden)
    await expect(crmTransport.stats(['marketing.customers'])).rejects.toMatchObject(forbidden)
    await expect(crmTransport.seek('marketing.customers', 'end')).rejects.toMatchObject(forbidden)
    await expect(crmTransport.remove({ subscriptions: ['marketing.customers'] })).rejects.toMatchObject(forbidden)
    await expect(crmTransport.remove({ topics: ['crm.customer'] })).rejects.toMatchObject(forbidden)
    await expect(crmTransport.provision({ topics: [{ name: 'crm.other', team: 'crm' }], subscriptions: [] })).rejects.toMatchObject(
      forbidden,
    )
  })

  test('nor by plain SQL with the numbers of another team', async () => {
    const other = await subscriptionId('marketing.customers')
    const refused = [
      `select * from comity_bus.renew('{${other}}', '{me}', 10000)`,
      `select * from comity_bus.fetch(${other}, 'me', '{0}', '{1}', '{0}', 10, 1000)`,
      `select comity_bus.ack('{${other}}', '{me}', '{0}', '{1}', '{5}', '{0}')`,
      `select comity_bus.release(${other}, 'me', '{0}', true)`,
      `select * from comity_bus.open('marketing.customers')`,
      `select comity_bus.buckets_of('marketing.sent')`,
      `select comity_bus.withdraw('marketing', 'p')`,
    ]
    for (const sql of refused) await expect(crm.query(sql), sql).rejects.toMatchObject({ code: 'CB003' })
    // It answers about what may be seen only.
    expect((await crm.query(`select * from comity_bus.watch('{${other}}')`)).rows).toEqual([])
  })

  test('a team sends to a topic of another only where it was named, as itself, and reads nothing there', async () => {
    const asked = (name: string, senders: readonly string[]) => ({ name, team: 'marketing', buckets: 1, senders })
    await operator.provision({ topics: [asked('asked', ['crm']), asked('others', ['analysis'])], subscriptions: [] })
    expect(await crmTransport.send('asked', [message])).toEqual([{ status: 'stored' }])
    await expect(crmTransport.send('others', [message])).rejects.toMatchObject(forbidden)
    for (const team of ['marketing', 'analysis'])
      await expect(
        crmTransport.send('asked', [message], { fence: { team, incarnation: 99, term: 1, holder: 'p' } }),
        team,
      ).rejects.toMatchObject(forbidden)
  })

  test('a team can neither read nor write a table, nor call what is the operator’s', async () => {
    const { rows: tables } = await operatorQuery(
      `select c.relname from pg_class c where c.relnamespace = 'comity_bus'::regnamespace and c.relkind in ('r', 'p', 'S')`,
    )
    expect(tables.length).toBeGreaterThan(9)
    for (const { relname } of tables) {
      for (const sql of [
        `select * from comity_bus.${relname}`,
        `delete from comity_bus.${relname}`,
        `truncate comity_bus.${relname}`,
        `drop table comity_bus.${relname}`,
      ]) {
        await expect(crm.query(sql), sql).rejects.toMatchObject({ code: expect.stringMatching(/^(42501|42809|55000)$/) })
      }
    }
    const { rows: functions } = await operatorQuery(
      `select p.oid::regprocedure::text as name, p.proname from pg_proc p where p.pronamespace = 'comity_bus'::regnamespace`,
    )
    const internal = [
      ...['may_act_for', 'require_team', 'require_sender', 'subscription_of', 'admit'],
      ...['create_topic', 'create_subscription', 'grant_send', 'remove', 'enroll'],
    ]
    const { rows: rights } = await crm.query(
      `select p.proname from pg_proc p where p.pronamespace = 'comity_bus'::regnamespace and has_function_privilege(p.oid, 'execute')`,
    )
    const callable = new Set(rights.map((row) => row.proname))
    for (const { proname } of functions) expect(callable.has(proname), String(proname)).toBe(!internal.includes(String(proname)))
    for (const sql of [
      `select comity_bus.enroll(session_user, 'marketing')`,
      `select comity_bus.admit('crm', 9, 'me', 1, 1)`,
      `select comity_bus.create_topic('x', 'crm', 1, 1)`,
      `select comity_bus.grant_send('marketing.sent', 'crm')`,
      `select comity_bus.remove('{crm.customer}', '{}')`,
      `create table comity_bus.mine (x int)`,
      `create function comity_bus.mine() returns int language sql as 'select 1'`,
      `create temp table members (role name, team text)`,
      `create schema mine`,
      `set session authorization postgres`,
    ]) {
      await expect(crm.query(sql), sql).rejects.toMatchObject({ code: '42501' })
    }
  })

  test('every function that a team may call pins its search path, and none belongs to PUBLIC', async () => {
    const { rows } = await operatorQuery(
      `select p.proname, p.prosecdef, p.proconfig, p.proacl::text as acl from pg_proc p where p.pronamespace = 'comity_bus'::regnamespace`,
    )
    for (const { proname, proconfig, acl } of rows) {
      expect(proconfig, String(proname)).toContain('search_path=pg_catalog, pg_temp')
      expect(String(acl), String(proname)).not.toMatch(/[{,]=X/)
    }
  })

  test('a stranger with a login gets nothing', async () => {
    const admin = new Client(url)
    await admin.connect()
    const { rows } = await admin.query('select current_database() as name')
    const stranger = `stranger_${rows[0].name}`
    await admin.query(`create role ${stranger} login`)
    await admin.end()
    const strangerUrl = new URL(url)
    strangerUrl.username = stranger
    await using transport = postgresTransport({ url: strangerUrl.href, allowUnsafe: true })
    await expect(transport.send('crm.customer', [message])).rejects.toMatchObject(forbidden)
  })

  async function operatorQuery(sql: string): Promise<{ rows: Record<string, unknown>[] }> {
    const admin = new Client(url)
    await admin.connect()
    try {
      return await admin.query(sql)
    } finally {
      await admin.end()
    }
  }
})
