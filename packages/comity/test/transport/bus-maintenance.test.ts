import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { freshDatabase, onNewestPostgres } from '../../../../test/support/postgres.ts'
import { migrateBus, postgresTransport, readBusMigrations } from '../../src/transport/index.ts'

/** A released migration never changes: a database that has it would not get the change. Add a new file instead. */
test('released migrations are what they were', async () => {
  const digests = (await readBusMigrations()).map(
    ({ number, name, sql }) => `${number} ${name} ${createHash('sha256').update(sql).digest('hex')}`,
  )
  expect(digests).toMatchSnapshot()
})

test('the migrations are shipped, and found from the sources and from the build', async () => {
  const { default: manifest } = await import('../../package.json', { with: { type: 'json' } })
  expect(manifest.files).toContain('src')
  const here = new URL('../../src/transport/postgres/bus-migrations.ts', import.meta.url)
  const built = new URL('../../dist/transport/postgres/bus-migrations.js', import.meta.url)
  const [fromSource, fromBuild] = [here, built].map((file) => fileURLToPath(new URL('../../../src/transport/postgres/migrations/', file)))
  expect(fromBuild).toBe(fromSource)
})

onNewestPostgres('keeping the bus', (server) => {
  test('processes that migrate at once do it once', async () => {
    const { url } = await freshDatabase({ server })
    const ran = await Promise.all([1, 2, 3, 4].map(() => migrateBus({ url })))
    expect(ran.flat()).toEqual((await readBusMigrations()).map(({ number, name }) => `${String(number).padStart(4, '0')}-${name}`))
  })

  test('a bus that nobody provisioned is refused with what to do', async () => {
    const { url } = await freshDatabase({ server })
    await using transport = postgresTransport({ url, allowUnsafe: true })
    await expect(transport.send('t', [{ id: 'm', key: 'k', attributes: {}, data: '' }])).rejects.toMatchObject({
      code: 'COMITY_TRANSPORT_UNSUPPORTED',
      remedy: expect.stringContaining('comity provision'),
    })
    expect(await transport.provision({ topics: [{ name: 't', team: 'crm' }], subscriptions: [] }, { dryRun: true })).toHaveLength(1)
    await expect(transport.send('t', [{ id: 'm', key: 'k', attributes: {}, data: '' }])).rejects.toMatchObject({
      code: 'COMITY_TRANSPORT_UNSUPPORTED',
    })
  })

  test('a server that does not sync its log is refused outside of tests', async () => {
    const { url } = await freshDatabase({ server })
    await migrateBus({ url })
    await using transport = postgresTransport({ url })
    await expect(transport.send('t', [{ id: 'm', key: 'k', attributes: {}, data: '' }])).rejects.toMatchObject({
      code: 'COMITY_TRANSPORT_UNSUPPORTED',
      message: expect.stringContaining('fsync'),
    })
  })

  test('a send is synchronous whatever the settings say', async () => {
    const { client } = await bus()
    for (const setting of ['off', 'local']) {
      await client.query(`set synchronous_commit = ${setting}`)
      await client.query('begin')
      await client.query(`select comity_bus.send('t', 1, null, null, null, null, null, '{0}', '{2}', '{m}', '{k}', '{"{}"}', '{""}')`)
      expect((await client.query('show synchronous_commit')).rows).toEqual([{ synchronous_commit: 'on' }])
      await client.query('commit')
    }
  })

  test('an acknowledgement under a lost lease is refused', async () => {
    const { client, id, send } = await bus()
    await send(10)
    const renew = async (holder: string): Promise<Record<string, unknown>[]> =>
      (await client.query(`select bucket, term from comity_bus.renew('{${id}}', '{${holder}}', 60000)`)).rows
    const ack = async (holder: string, term: unknown, position: number): Promise<unknown> =>
      (await client.query(`select comity_bus.ack('{${id}}', '{${holder}}', '{0}', '{${term}}', '{${position}}', '{0}') as refused`)).rows[0]
        .refused
    const [first] = await renew('first')
    expect(await ack('first', first?.term, 3)).toEqual([])
    expect(await renew('second')).toEqual([{ bucket: null, term: null }])
    await client.query(`update comity_bus.consumers set expires_at = now() - interval '1 second' where holder = 'first'`)
    const [second] = await renew('second')
    expect(second?.bucket).toBe(0)
    expect(await ack('first', first?.term, 5)).toEqual([1])
    expect(await ack('first', second?.term, 5)).toEqual([1])
    expect(await ack('second', first?.term, 5)).toEqual([1])
    expect(await position()).toBe('3')
    expect(await ack('second', second?.term, 7)).toEqual([])
    expect(await ack('second', second?.term, 6)).toEqual([]) // never backwards
    expect(await position()).toBe('7')

    async function position(): Promise<unknown> {
      return (await client.query(`select position from comity_bus.positions where subscription_id = ${id}`)).rows[0].position
    }
  })

  test('days ahead are made, days behind are dropped when everybody has them', async () => {
    const { client, send, partitions, maintain, moveBack } = await bus()
    expect(await partitions()).toHaveLength(4)
    await send(5)
    await moveBack(8)
    await client.query('update comity_bus.positions set position = 5')
    await maintain()
    expect(await partitions()).toHaveLength(4)
    expect((await client.query('select count(*)::int as n from comity_bus.messages')).rows).toEqual([{ n: 0 }])
    expect((await client.query('select * from comity_bus.expired')).rows).toEqual([])
  })

  test('what is not acknowledged stays longer, and when it goes that is recorded', async () => {
    const { client, transport, send, maintain, moveBack } = await bus()
    await send(5)
    await moveBack(8)
    await maintain()
    expect(await transport.stats(['crm.s'])).toMatchObject([{ backlog: 5, expired: 0 }])
    await moveBack(40)
    await send(1)
    await maintain()
    expect((await client.query('select first_offset, last_offset from comity_bus.expired')).rows).toEqual([
      { first_offset: '1', last_offset: '5' },
    ])
    expect(await transport.stats(['crm.s'])).toMatchObject([{ backlog: 1, expired: 5 }])
  })

  test('a send never fails for want of a partition', async () => {
    const { client, send, maintain, transport } = await bus()
    const { rows } = await client.query(
      `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'comity_bus.messages'::regclass and c.relname <> 'messages_rest'`,
    )
    for (const { relname } of rows) await client.query(`drop table comity_bus.${relname}`)
    await send(3)
    await maintain() // this day's messages already lie in messages_rest: it stays there, and nothing fails
    await send(2)
    expect(await transport.stats(['crm.s'])).toMatchObject([{ backlog: 5 }])
    await client.query(`update comity_bus.messages_rest set sent_at = sent_at - interval '9 days'`)
    await client.query('update comity_bus.positions set position = 5')
    await maintain()
    expect((await client.query('select count(*)::int as n from comity_bus.messages_rest')).rows).toEqual([{ n: 0 }])
  })

  test('maintenance never waits for a sender, nor a sender for it', async () => {
    const { client, connect, send, maintain, moveBack, transport } = await bus()
    await send(5)
    await moveBack(8)
    await client.query('update comity_bus.positions set position = 5')
    const other = await connect()
    await other.query('begin')
    await other.query('select count(*) from comity_bus.messages') // holds every partition
    const began = performance.now()
    await maintain()
    expect(performance.now() - began).toBeLessThan(5000)
    expect((await other.query('select count(*)::int as n from comity_bus.messages')).rows).toEqual([{ n: 5 }])
    await send(1)
    await other.query('commit')
    await maintain()
    expect((await client.query('select count(*)::int as n from comity_bus.messages')).rows).toEqual([{ n: 1 }])
    expect(await transport.stats(['crm.s'])).toMatchObject([{ backlog: 1 }])
  })

  async function bus() {
    const { url } = await freshDatabase({ server })
    const transport = postgresTransport({ url, allowUnsafe: true, buckets: 1 })
    await transport.provision({ topics: [{ name: 't', team: 'crm' }], subscriptions: [{ name: 'crm.s', team: 'crm', topic: 't' }] })
    onTestFinished(() => transport.close())
    const connect = async (): Promise<Client> => {
      const connected = new Client(url)
      await connected.connect()
      onTestFinished(() => connected.end())
      return connected
    }
    const client = await connect()
    const { rows } = await client.query('select id from comity_bus.subscriptions')
    let sent = 0
    return {
      client,
      connect,
      transport,
      id: rows[0].id as number,
      send: (count: number) =>
        transport.send(
          't',
          Array.from({ length: count }, () => ({ id: `m${++sent}`, key: 'k', attributes: {}, data: '' })),
        ),
      maintain: async () => {
        await client.query(`update comity_bus.settings set maintained_at = '-infinity'`)
        await client.query('select comity_bus.maintain()')
      },
      partitions: async () =>
        (
          await client.query(
            `select relname from pg_class where relnamespace = 'comity_bus'::regnamespace and relname ~ '^messages_[0-9]+$' and relkind = 'r'`,
          )
        ).rows,
      /** Makes what was sent, and all positions, so many days older, in a partition of that day. */
      moveBack: async (days: number) => {
        await client.query(`do $$ declare v_day timestamptz := date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - interval '${days} days';
          v_name text := 'messages_' || to_char(v_day at time zone 'UTC', 'YYYYMMDD'); begin
          execute format('create table comity_bus.%I (like comity_bus.messages)', v_name);
          execute format('alter table comity_bus.messages attach partition comity_bus.%I for values from (%L) to (%L)', v_name, v_day, v_day + interval '1 day');
          execute format('update comity_bus.messages set sent_at = %L', v_day + interval '1 hour');
          execute format('update comity_bus.positions set acked_at = %L', v_day);
        end $$`)
      },
    }
  }
})
