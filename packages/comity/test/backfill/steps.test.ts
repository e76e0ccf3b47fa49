/** One promise of a backfill each, made to fail where its line is missing: what must not happen between two steps, happens there. */
import type { Transport } from 'comity'
import { type TestBus, testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { connect } from '../../src/postgres/index.ts'
import { decorateTransport } from '../../src/transport/decorate-transport.ts'
import type { MemoryTransport } from '../../src/transport/index.ts'
import { passingMarks, type RelayMark, relayMarks } from '../../src/transport/marks.ts'
import type { Delivery, DeliveryResult } from '../../src/transport/transport.ts'
import { copied, newCrm, newMarketing, owned, ready, stateOf } from './customers.ts'

/** The same bus through transports of one's own. */
function through(bus: TestBus, change: (transport: Transport) => Partial<Pick<Transport, 'send' | 'receive'>>): TestBus {
  const connected = (): MemoryTransport => {
    const transport = bus.memory.connect()
    return Object.assign(decorateTransport(transport, change(transport)), { crash: () => transport.crash() }) as MemoryTransport
  }
  return { memory: { guarantees: bus.memory.guarantees, connect: connected }, teams: bus.teams }
}

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 500))

test('a stretch waits for whoever had drawn a version before it, and shows who that is', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 20 })
  const writer = connect(crm.url)
  const open = gate()
  let pid = 0
  const holding = writer.transaction(async (tx) => {
    pid = (await tx.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid as number
    await tx.query(`update customers set name = 'Late' where id = 'c1'`)
    await open.opened
  })
  await using marketing = await newMarketing(bus)
  const waits = async () =>
    (await crm.db.query<{ waits_for: { pid?: number }[] | null }>('select waits_for from comity.backfills')).rows[0]?.waits_for
  await expect.poll(waits, { timeout: 60_000 }).toMatchObject([{ pid }])
  expect(await copied(marketing.db)).toEqual([])
  open.open()
  await holding
  await ready(marketing.db)
  await marketing.caughtUp()
  expect((await marketing.db.query(`select name from crm_customer where id = 'c1'`)).rows).toEqual([{ name: 'Late' }])
  expect(await waits()).toBe(null)
  await writer.close()
})

test('a deletion that comes while a chunk is applied is not passed by it', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 20 })
  let deleted = false
  await using marketing = await newMarketing(bus, {
    async before(text) {
      // The rows are written, and not committed.
      if (deleted || !text.includes('update comity.asked_backfills set state = case')) return
      deleted = true
      await crm.db.query(`delete from customers where id = 'c7'`)
      const end = performance.now() + 700
      while (performance.now() < end && (await tombstones()) === 0) await new Promise((resolve) => setImmediate(resolve))
    },
  })
  const tombstones = async () => (await marketing.db.query('select * from comity.tombstones')).rows.length
  await ready(marketing.db)
  await marketing.caughtUp()
  expect(deleted).toBe(true)
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
})

test('a chunk that comes late brings nothing back and overwrites nothing that is newer, whichever way its rows go in', async () => {
  const bus = testBus()
  const ways: string[] = []
  let late = false
  const slow = through(bus, (transport) => ({
    async send(topic, messages, options) {
      const isChunk = messages[0]?.attributes['ce-type'] === 'comity.backfill-chunk'
      if (isChunk && late) {
        late = false
        await crm.db.query(`delete from customers where id = 'c7'`)
        await crm.db.query(`update customers set name = 'Newer' where id = 'c13'`)
        const arrived = async () =>
          (
            await marketing.db.query(
              `select (select count(*) from comity.tombstones where key = 'c7')::int + (select count(*) from crm_customer where name = 'Newer')::int as n`,
            )
          ).rows
        await expect.poll(arrived, { timeout: 60_000 }).toEqual([{ n: 2 }])
      }
      return transport.send(topic, messages, options)
    },
  }))
  await using crm = await newCrm(slow, { rows: 20, batch: 5 })
  await using marketing = await newMarketing(bus, {
    before(text) {
      if (text.includes('from stdin')) ways.push('copied')
      if (text.includes('json_to_recordset')) ways.push('compared')
    },
  })
  await ready(marketing.db)
  expect(new Set(ways)).toEqual(new Set(['copied']))
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))

  // Nothing is there but what comes before its chunk.
  await marketing.db.query('truncate crm_customer')
  ways.length = 0
  late = true
  await marketing.db.query(
    `insert into comity.asked_backfills (replica, owner, entity, why) values ('marketing.crm-customer', 'crm', 'crm.customer', 'asked')`,
  )
  await ready(marketing.db)
  await marketing.caughtUp()
  expect(new Set(ways)).toEqual(new Set(['copied', 'compared']))
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
})

test('who hears that all was sent before it has applied the last chunk asks for nothing again', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 20, batch: 5 })
  const typeOf = ({ attributes }: { readonly attributes: Readonly<Record<string, string>> }) => attributes['ce-type']
  let asked = 0
  let heard = false
  const overtaken = through(bus, (transport) => ({
    send(topic, messages, options) {
      asked += messages.filter((message) => typeOf(message) === 'comity.backfill-asked').length
      return transport.send(topic, messages, options)
    },
    receive(subscription, handler, options) {
      if (!subscription.endsWith('copy-crm-customer')) return transport.receive(subscription, handler, options)
      const sentFirst = async (deliveries: readonly Delivery[]): Promise<readonly DeliveryResult[]> => {
        const passing = deliveries.filter(({ message }) => heard || typeOf(message) !== 'comity.backfill-chunk')
        const results = new Map((await handler(passing)).map((result, i) => [passing[i], result] as const))
        heard ||= passing.some(({ message }) => JSON.parse(message.data).state === 'sent')
        return deliveries.map((delivery) => results.get(delivery) ?? 'later')
      }
      return transport.receive(subscription, sentFirst, options)
    },
  }))
  await using marketing = await newMarketing(overtaken)
  await ready(marketing.db)
  expect(await copied(marketing.db)).toEqual(await owned(crm.db))
  expect({ heard, asked }).toEqual({ heard: true, asked: 1 })
})

test('a copy is not ready before the live changes below its last version have ended here', async () => {
  const bus = testBus()
  await using crm = await newCrm(bus, { rows: 20 })
  const open = gate()
  const slow = through(bus, (transport) => ({
    receive: (subscription, handler, options) =>
      transport.receive(
        subscription,
        subscription === 'marketing.crm-customer' ? (deliveries) => open.opened.then(() => handler(deliveries)) : handler,
        options,
      ),
  }))
  await using marketing = await newMarketing(slow)
  await expect.poll(() => stateOf(marketing.db), { timeout: 60_000 }).toBe('settling')
  await expect.poll(async () => (await crm.db.query('select state from comity.backfills')).rows[0]?.state).toBe('done')
  await soon()
  expect(await stateOf(marketing.db)).toBe('settling')
  open.open()
  await ready(marketing.db)
})

test('nor before they are sent: a mark stands behind everything of its owner', async () => {
  const bus = testBus()
  const open = gate()
  let draws = 0
  const slow = through(bus, (transport) => ({
    async send(topic, messages, options) {
      if (topic === 'crm.customer' && !messages[0]?.id.includes('mark')) await open.opened
      return transport.send(topic, messages, options)
    },
  }))
  await using crm = await newCrm(slow, {
    ...{ rows: 20, batch: 10 },
    async before(text) {
      // Its stretch has been sent: only the live change can bring it.
      if (text.includes('comity.draw_version') && ++draws === 2) await crm.db.query(`update customers set name = 'Between' where id = 'c1'`)
    },
  })
  await using marketing = await newMarketing(bus)
  await expect.poll(() => stateOf(marketing.db), { timeout: 60_000 }).toBe('settling')
  await soon()
  expect(await stateOf(marketing.db)).toBe('settling')
  open.open()
  await ready(marketing.db)
  expect((await marketing.db.query(`select name from crm_customer where id = 'c1'`)).rows).toEqual([{ name: 'Between' }])
})

test('a line with something older keeps a copy from being ready', async () => {
  const bus = testBus()
  await using _crm = await newCrm(bus, { rows: 20 })
  await using marketing = await newMarketing(bus)
  await ready(marketing.db)
  const waiting = `
    with key as (insert into comity.waiting_keys (subscription, key, reason, lane) values ('marketing.crm-customer', 'c1', 'parked', 0))
    insert into comity.waiting (subscription, generation, key, reason, message, time, attributes, data)
    values ('marketing.crm-customer', 1, 'c1', 'parked', 'crm-1', now(), '{"ce-comityversion":"1"}', '{}')`
  await marketing.db.query(waiting)
  await marketing.db.query(
    `insert into comity.asked_backfills (replica, owner, entity, why) values ('marketing.crm-customer', 'crm', 'crm.customer', 'asked')`,
  )
  await expect.poll(() => stateOf(marketing.db), { timeout: 60_000 }).toBe('settling')
  await soon()
  expect(await stateOf(marketing.db)).toBe('settling')
  await marketing.db.query('delete from comity.waiting_keys')
  await ready(marketing.db)
})

test('a mark is passed when everything before it in its bucket has ended, and comes again while that does', async () => {
  const passed: RelayMark[] = []
  const answers: ((results: DeliveryResult[]) => void)[] = []
  const handler = passingMarks(
    (deliveries) => new Promise((resolve) => answers.push((results) => resolve(results.slice(0, deliveries.length)))),
    async (mark) => void passed.push(mark),
  )
  const delivery = (message: object, bucket = 0): Delivery => ({
    bucket,
    redelivered: false,
    message: { sentAt: new Date(), ...message } as never,
  })
  const [mark] = relayMarks(7, 4)
  const data = { id: 'm', key: 'k', attributes: {}, data: '{}' }

  const first = handler([delivery(data)])
  const second = handler([delivery({ ...mark })])
  const other = await handler([delivery({ ...mark }, 1)])
  expect(other).toEqual(['ack'])
  expect(passed).toHaveLength(1)
  answers.shift()?.(['later'])
  expect(await Promise.all([first, second])).toEqual([['later'], ['later']])
  expect(passed).toHaveLength(1)

  const third = handler([delivery(data), delivery({ ...mark }), delivery(data)])
  answers.shift()?.(['ack', 'later'])
  expect(await third).toEqual(['ack', 'ack', 'later'])
  expect(passed).toHaveLength(2)
  expect(relayMarks(7, 4).map((each) => each.key)).toHaveLength(4)
})
