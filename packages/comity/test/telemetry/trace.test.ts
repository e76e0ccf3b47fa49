import { entity, event, request } from '@comity/contract'
import { type Span, trace } from '@opentelemetry/api'
import { type Queryable, team } from 'comity'
import { type TestTeam, testBus } from 'comity/testing'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { type RegisteredSdk, registeredSdk } from '../../../../test/support/registered-sdk.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { METRICS, SPANS, traceparentOf } from '../../src/foundation/telemetry/index.ts'

const Customer = entity('crm.customer', {
  key: 'id',
  state: z.object({ id: z.string(), email: z.string() }),
})
const EmailSent = event('marketing.email-sent', {
  key: 'customerId',
  data: z.object({ customerId: z.string(), subject: z.string() }),
})
const Campaign = entity('marketing.campaign', { key: 'id', state: z.object({ id: z.string() }) })
const Forget = request('crm.forget-customer', { entity: Customer, key: 'id', data: z.object({ id: z.string() }) })

type ReadableSpan = ReturnType<RegisteredSdk['spans']>[number]

let sdk: RegisteredSdk
let crm: TestTeam<Queryable>
let marketing: TestTeam<Queryable>
let analysis: TestTeam<Queryable>

beforeAll(async () => {
  sdk = registeredSdk()
  const bus = testBus()
  const newTeam = async <Tx>(config: Parameters<typeof testTeam<Tx>>[0], setup: string) =>
    testTeam<Tx>(config, { bus, url: (await freshDatabase({ migrated: true })).url, setup: (db) => db.query(setup) })
  crm = await newTeam(
    team('crm')
      .owns(Customer, { table: 'customers' })
      .answers(Forget, () => undefined),
    'create table customers (id text primary key, email text not null)',
  )
  marketing = await newTeam(
    team('marketing')
      .keeps(Customer, { fields: ['email'] })
      .publishes(EmailSent)
      .asks(Forget)
      .owns(Campaign, { table: 'campaigns' })
      .on(
        Customer,
        async ({ key }, { tx, publish }) => {
          await publish(EmailSent, { customerId: key, subject: 'welcome' })
          await tx.query('insert into campaigns values ($1)', [key])
        },
        { name: 'welcome' },
      ),
    'create table campaigns (id text primary key)',
  )
  analysis = await newTeam(
    team('analysis')
      .on(EmailSent, async ({ key }, { tx }) => void (await tx.query('insert into sends values ($1)', [key])))
      .keeps(Campaign, { fields: [] }),
    'create table sends (customer text)',
  )
}, 60_000)
afterAll(async () => {
  for (const one of [crm, marketing, analysis]) await one?.[Symbol.asyncDispose]()
  sdk[Symbol.dispose]()
})
beforeEach(() => sdk.forget())

/** What the application does: a span of its own, and SQL that says so. */
async function inSpan<Result>(work: (span: Span) => Promise<Result>): Promise<Result> {
  return trace.getTracer('application').startActiveSpan('POST /customers', async (span) => {
    try {
      return await work(span)
    } finally {
      span.end()
    }
  })
}

function named(name: string): readonly ReadableSpan[] {
  return sdk.spans().filter((span) => span.name === name)
}
function only(name: string): ReadableSpan {
  expect(named(name), name).toHaveLength(1)
  return named(name)[0] as ReadableSpan
}

test('one email: from the SQL statement in CRM to the row in Data Analysis, in one trace or linked to it', async () => {
  const { traceId, spanId } = await inSpan(async (span) => {
    await crm.db.transaction(async (tx) => {
      await tx.query(`select set_config('comity.traceparent', $1, true)`, [traceparentOf(span.spanContext())])
      await tx.query(`insert into customers values ('c1', 'c1@example.com')`)
    })
    return span.spanContext()
  })
  await analysis.caughtUp()
  expect((await analysis.db.query('select * from sends')).rows).toEqual([{ customer: 'c1' }])

  const welcome = only('process marketing.welcome')
  expect([welcome.spanContext().traceId, welcome.parentSpanContext?.spanId]).toEqual([traceId, spanId])
  expect(welcome.attributes).toMatchObject({
    'messaging.system': 'memory',
    'messaging.destination.name': 'crm.customer',
    'messaging.destination.subscription.name': 'marketing.welcome',
    'messaging.operation.name': 'process',
    'comity.team': 'marketing',
    'comity.attempt': 1,
  })
  const create = only('create marketing.email-sent')
  expect([create.spanContext().traceId, create.parentSpanContext?.spanId]).toEqual([traceId, welcome.spanContext().spanId])
  const sent = only('process analysis.marketing-email-sent')
  expect([sent.spanContext().traceId, sent.parentSpanContext?.spanId]).toEqual([traceId, create.spanContext().spanId])

  const linked = (name: string): readonly string[] => only(name).links.map((link) => `${link.context.traceId} ${link.context.spanId}`)
  expect(linked('send crm.customer')).toEqual([`${traceId} ${spanId}`])
  expect(linked('process marketing.crm-customer')).toEqual([`${traceId} ${spanId}`])
  expect(linked('send marketing.email-sent')).toEqual([`${traceId} ${create.spanContext().spanId}`])
  // What the handler wrote by SQL, into a captured table, goes on from the handler's span.
  expect(linked('process analysis.marketing-campaign')).toEqual([`${traceId} ${welcome.spanContext().spanId}`])
  const all = sdk.spans().flatMap((span) => JSON.stringify([span.name, span.attributes, span.status]))
  expect(all.filter((text) => /c1|welcome"|example/.test(text.replaceAll('marketing.welcome', '')))).toEqual([])
})

test('spans and metrics have the attributes of the page, and no others', async () => {
  await crm.db.query(`insert into customers values ('c5', 'c5@example.com')`)
  const asked = await marketing.db.transaction((tx) => marketing.team.ask(tx, Forget, { id: 'c5' }))
  await asked.outcome({ timeout: 60_000 })
  // It is counted once its telling has been recorded.
  const told = async () => (await crm.db.query('select from comity.requests where told_at is not null')).rows.length
  await expect.poll(told).toBe(1)
  await analysis.caughtUp()
  expect(new Set(sdk.spans().map(({ name }) => name.split(' ')[0]))).toEqual(new Set(Object.keys(SPANS)))
  for (const { name, attributes } of sdk.spans()) {
    const type = name.split(' ')[0] as keyof typeof SPANS
    const listed: readonly string[] = SPANS[type].attributes
    expect(
      Object.keys(attributes).filter((attribute) => !listed.includes(attribute)),
      name,
    ).toEqual([])
  }
  const seen = new Map<string, Set<string>>()
  for (const [, name, labels] of (await sdk.scrape()).matchAll(/^(\w+)\{(.*)\} /gm)) {
    const metric = Object.keys(METRICS).find(
      (one) => (name as string).replace(/_(total|bucket|sum|count)$/, '') === one.replaceAll('.', '_'),
    )
    const attributes = seen.get(metric as string) ?? new Set()
    for (const [, label] of (labels as string).matchAll(/(\w+)="/g)) if (label !== 'le') attributes.add(label as string)
    seen.set(metric as string, attributes)
  }
  // Nobody has declared an objective here.
  expect([...seen.keys()].sort()).toEqual(
    Object.keys(METRICS)
      .filter((name) => name !== 'comity.replica.freshness.objective')
      .sort(),
  )
  for (const [metric, attributes] of seen) {
    const listed = METRICS[metric as keyof typeof METRICS].attributes.map((name: string) => name.replaceAll('.', '_'))
    expect(listed.filter((name) => name !== 'error_type').sort(), metric).toEqual([...attributes].sort())
  }
})

test('a session that sets nothing, or nonsense, writes as ever; its changes begin a trace of their own, which a resend would repeat', async () => {
  for (const [id, setting] of [
    ['c2', ''],
    ['c3', 'nonsense'],
  ]) {
    sdk.forget()
    await crm.db.transaction(async (tx) => {
      await tx.query(`select set_config('comity.traceparent', $1, true)`, [setting])
      await tx.query(`insert into customers values ($1, 'x@example.com')`, [id])
    })
    await analysis.caughtUp()
    expect((await crm.db.query('select headers from comity.outbox order by id desc limit 1')).rows).toEqual([{ headers: null }])
    const [link] = only('send crm.customer').links
    const welcome = only('process marketing.welcome')
    expect(link?.context).toMatchObject({ traceId: welcome.spanContext().traceId, spanId: welcome.parentSpanContext?.spanId })
  }
})

test('a session says it once, for one row and for many, for a deletion, a truncation, and for comity.publish', async () => {
  const traceparent = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-00`
  const announced = async (db: TestTeam<Queryable>['db'], ...statements: string[]): Promise<readonly unknown[]> => {
    const { rows: last } = await db.query<{ id: string }>('select coalesce(max(id), 0)::text as id from comity.outbox')
    await db.transaction(async (tx) => {
      await tx.query(`select set_config('comity.traceparent', $1, true)`, [traceparent])
      for (const statement of statements) await tx.query(statement)
    })
    const { rows } = await db.query<{ headers: string }>('select headers from comity.outbox where id > $1 order by id', [last[0]?.id])
    return rows.map(({ headers }) => headers && JSON.parse(headers))
  }
  const carried = { traceparent }
  const many = `insert into customers select 'd' || i, 'x@example.com' from generate_series(1, 3) i`
  expect(await announced(crm.db, many, `delete from customers where id = 'd1'`)).toEqual(new Array(4).fill(carried))
  expect(new Set((await announced(crm.db, 'truncate customers')).map((one) => JSON.stringify(one)))).toEqual(
    new Set([JSON.stringify(carried)]),
  )
  await analysis.caughtUp() // the handler has published what all this makes it publish
  const data = '{"customerId":"c9","subject":"x"}'
  const own = `{"traceparent":"00-${'e'.repeat(32)}-${'f'.repeat(16)}-01"}`
  const publish = [
    `select comity.publish('marketing.email-sent', '${data}')`,
    `select comity.publish('marketing.email-sent', '${data}', null, '${own}')`,
  ]
  expect(await announced(marketing.db, ...publish)).toEqual([carried, JSON.parse(own)])
})

test('publish carries the traceparent that was passed, or the active span; and where there is neither, none', async () => {
  const headers = async (): Promise<unknown> => {
    const { rows } = await marketing.db.query<{ headers: string | null }>('select headers from comity.outbox order by id desc limit 1')
    return rows[0]?.headers === null ? null : JSON.parse(rows[0]?.headers as string)
  }
  const data = { customerId: 'c9', subject: 'news' }
  await marketing.db.transaction((tx) => marketing.team.publish(tx, EmailSent, data))
  expect(await headers()).toBeNull()
  expect(named('create marketing.email-sent')).toEqual([])

  const given = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
  await marketing.db.transaction((tx) => marketing.team.publish(tx, EmailSent, data, { traceparent: given }))
  const first = only('create marketing.email-sent')
  expect([first.spanContext().traceId, first.parentSpanContext?.spanId]).toEqual(['a'.repeat(32), 'b'.repeat(16)])
  expect(await headers()).toEqual({ traceparent: traceparentOf(first.spanContext()) })

  sdk.forget()
  const active = await inSpan(async (span) => {
    await marketing.db.transaction((tx) => marketing.team.publishMany(tx, EmailSent, [data, data]))
    return span.spanContext()
  })
  const second = only('create marketing.email-sent')
  expect(second.parentSpanContext?.spanId).toBe(active.spanId)
  expect(second.attributes['messaging.batch.message_count']).toBe(2)
  expect(await headers()).toEqual({ traceparent: traceparentOf(second.spanContext()) })
})

test('a refused publish is a failed span: its code, and nothing of the data', async () => {
  await expect(
    inSpan(async () => {
      const tx = { query: () => Promise.reject(Object.assign(new RangeError('secret'), { code: 'E_ODD' })) }
      await marketing.team.publish(tx as never, EmailSent, { customerId: 'c9', subject: 'x' })
    }),
  ).rejects.toThrow()
  const failed = only('create marketing.email-sent')
  expect(failed.status.message).toBeUndefined()
  expect(JSON.stringify([failed.attributes, failed.events])).not.toContain('secret')
  expect(failed.attributes['error.type']).toBe('E_ODD')
})
