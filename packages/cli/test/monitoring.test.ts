/** Each rule of monitoring/prometheus-rules.yml is provoked: real teams in real trouble, what their /metrics shows, and Prometheus' own promtool. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { entity, event, request } from '@comity/contract'
import { metrics } from '@opentelemetry/api'
import { type Database, memoryBus, PermanentError, type Queryable, type Team, type Transport, team } from 'comity'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { freshDatabase } from '../../../test/support/postgres.ts'
import { promtool, promtoolIsHere } from '../../../test/support/promtool.ts'
import { collectMetrics, type Monitoring, monitoring } from '../src/monitoring.ts'
import { statusText } from '../src/status-table.ts'

const rules = fileURLToPath(new URL('../monitoring/prometheus-rules.yml', import.meta.url))

const Customer = entity('crm.customer', { key: 'id', state: z.object({ id: z.string(), email: z.string() }) })
const Product = entity('crm.product', { key: 'id', state: z.object({ id: z.string(), name: z.string() }) })
const Bounced = event('crm.email-bounced', { key: 'id', data: z.object({ id: z.string() }) })
const Order = event('shop.order', { key: 'id', data: z.object({ id: z.string() }) })

const Change = request('crm.change-customer', { entity: Customer, key: 'id', data: z.object({ id: z.string() }) })

const bus = memoryBus()
const outside = bus.connect()
const ending: (() => Promise<unknown>)[] = []
const teams: Team<Queryable>[] = []
let server: Monitoring

interface Running {
  readonly team: Team<Queryable>
  readonly db: Database<Queryable>
}
/** @param before what is wrong with the database already when the team starts */
async function run(declared: Team<Queryable>, { before = '', transport = bus.connect() as Transport } = {}): Promise<Running> {
  const { url } = await freshDatabase()
  const started = declared.with<Queryable>({ database: url as never, transport, allowUnsafe: true, autoMigrate: true, concurrency: 6 })
  const db = started.environment.database
  await started.migrate()
  if (before !== '') await db.query(before)
  ending.unshift(() => started.stop())
  await started.start()
  teams.push(started)
  return { team: started, db }
}

/** Series → value, as Prometheus would read it. */
async function scrape(): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line.startsWith('comity_'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
}
function shown(series: ReadonlyMap<string, number>, name: string, ...labels: readonly string[]): number | undefined {
  return [...series].find(([one]) => one.startsWith(`${name}{`) && labels.every((label) => one.includes(`"${label}"`)))?.[1]
}

/** The alerts that fire when what was scraped stays as it is for half an hour. */
async function expectFiring(series: ReadonlyMap<string, number>, alerts: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'comity-rules-'))
  const samples = alerts.map((labels) => ({ labels: `{${labels}}`, value: 1 }))
  const group = {
    interval: '1m',
    input_series: [...series].map(([name, value]) => ({ series: name, values: `${value}+0x30` })),
    promql_expr_test: [
      {
        expr: 'count by (alertname, comity_team, messaging_destination_subscription_name) (ALERTS{alertstate="firing"})',
        eval_time: '30m',
        exp_samples: samples,
      },
    ],
  }
  // JSON is YAML.
  writeFileSync(join(folder, 'test.json'), JSON.stringify({ rule_files: [rules], evaluation_interval: '1m', tests: [group] }))
  const { code, output } = await promtool('test', 'rules', join(folder, 'test.json'))
  rmSync(folder, { recursive: true })
  expect(code, output).toBe(0)
}
function alert(name: string, team: string, subscription?: string): string {
  const labels = [`alertname="${name}"`, `comity_team="${team}"`]
  return [...labels, ...(subscription === undefined ? [] : [`messaging_destination_subscription_name="${subscription}"`])].join(', ')
}

test('a port that is taken is refused, with what to do', async () => {
  const nothing = (): void => undefined
  const first = await monitoring([], { port: 0, host: '127.0.0.1', metrics: nothing })
  const port = Number(new URL(first.url).port)
  await expect(monitoring([], { port, host: '127.0.0.1', metrics: nothing })).rejects.toMatchObject({
    code: 'COMITY_MONITORING_NOT_STARTED',
  })
  await first.close()
})

const suite = promtoolIsHere ? describe : describe.skip
suite(
  promtoolIsHere ? 'alerts' : 'alerts (skipped: no promtool; Debian: node scripts/promtool.mjs as root, or apt-get install prometheus)',
  () => {
    let crm: Running
    let marketing: Running
    let release: () => void = () => undefined
    const released = new Promise<void>((resolve) => {
      release = resolve
    })

    beforeAll(async () => {
      server = await monitoring(teams, { port: 0, host: '127.0.0.1', metrics: await collectMetrics() })
      await outside.provision({ topics: [Customer, Product, Bounced].map(({ name }) => ({ name, team: 'crm' })), subscriptions: [] })
      const declaredCrm = team('crm')
        .owns(Customer)
        .owns(Product)
        .publishes(Bounced)
        .answers(Change, ({ key }) => {
          if (key === 'hard') throw new PermanentError('this one never works')
        })
      // Who asks does not start before somebody answers.
      const answered = declaredCrm.with({ database: 'postgres://nobody', transport: outside })
      await answered.provision()
      const declaredMarketing = team('marketing')
        .keeps(Customer, { fields: ['email'], freshness: '1s' })
        .keeps(Product, { fields: ['name'], freshness: '1h' })
        .on(Bounced, ({ key }) => {
          if (key === 'bad') throw new PermanentError('this one never works')
        })
        .asks(Change, ({ key }) => {
          if (key === 'unreadable') throw new Error('it can not be handled yet')
        })
        .on(Bounced, ({ key }) => (key === 'slow' ? released : undefined), { name: 'slow', timeout: '10m' })
      ;[crm, marketing] = await Promise.all([run(declaredCrm), run(declaredMarketing)])
    }, 60_000)
    afterAll(async () => {
      release()
      for (const end of ending) await end()
      await server.close()
      metrics.disable()
    }, 60_000)

    const ask = (id: string) => marketing.db.transaction((tx) => marketing.team.ask(tx, Change, { id }))

    test('none fires while everything is well', async () => {
      let healthy: ReadonlyMap<string, number> = new Map()
      await crm.db.transaction((tx) => crm.team.publish(tx, Customer, { id: 'c1', email: 'c1@example.com' }))
      // What is said again has a version of its own.
      const filled = async () =>
        (await marketing.db.query<{ state: string }>('select state from comity.asked_backfills')).rows.map(({ state }) => state)
      await expect.poll(filled, WAIT).toEqual(['ready', 'ready'])
      await crm.db.transaction((tx) => crm.team.publish(tx, Product, { id: 'p1', name: 'Hammer' }))
      await crm.db.transaction((tx) => crm.team.publish(tx, Bounced, { id: 'c1' }))
      expect(await (await ask('c1')).outcome(WAIT)).toMatchObject({ state: 'accepted' })
      await crm.team.drained()
      await marketing.team.caughtUp()
      await expect
        .poll(async () => {
          healthy = await scrape()
          return [
            ...teams.map(({ name }) => shown(healthy, 'comity_relay_leading', name)),
            shown(healthy, 'comity_outbox_pending', 'crm'),
            shown(healthy, 'comity_request_decided_total', 'crm.change-customer', 'accepted'),
            ...['open', 'open_age', 'overdue', 'unhandled_age'].map((name) => shown(healthy, `comity_request_${name}`, 'marketing')),
            shown(healthy, 'comity_request_unanswered_age', 'crm'),
          ]
        }, WAIT)
        .toEqual([1, 1, 0, 1, 0, 0, 0, 0, 0])
      await expectFiring(healthy, [])
    })

    test('what is asked of a subscription that does not read is as unanswered as what waits in a line', async () => {
      await crm.db.query(`insert into comity.pauses values ('crm.crm-change-customer', '', 'operator', 'a test', 'a test')`)
      const unanswered = async () => {
        // Until the pause counts it is decided all the same.
        await ask('c1')
        return shown(await scrape(), 'comity_request_unanswered_age', 'crm.change-customer')
      }
      await expect.poll(unanswered, WAIT).toBeGreaterThan(0.5)
      await crm.db.query(`delete from comity.pauses`)
      await expect.poll(async () => (await marketing.team.status()).requests, WAIT).toMatchObject([{ side: 'asked', open: 0 }])
    })

    test('that nothing runs is an alert too', () => expectFiring(new Map(), ['alertname="ComityNotRunning"']))

    test('each fires, for the team and the subscription that is in trouble and for no other', async () => {
      const refusing = { ...bus.connect(), send: () => Promise.reject(new RangeError('this broker takes nothing')) }
      await outside.claim({ team: 'billing', incarnation: 1, holder: 'elsewhere:1:abc' })
      const [shop] = await Promise.all([
        run(team('shop').publishes(Order), { transport: refusing }),
        // A process that died has the lease.
        run(team('sales'), { before: `insert into comity.leases values ('relay', 'dead:1:abc', 1, now() + interval '1 hour')` }),
        run(team('billing')),
      ])
      await shop.db.transaction((tx) => shop.team.publish(tx, Order, { id: 'o1' }))
      await shop.db.query(`update comity.outbox set time = time - interval '2 minutes'`)

      // A state that breaks its contract, by SQL.
      await crm.db.query(`select comity.publish('crm.customer', '{"id":"c2","email":7}')`)
      // Somebody wrote the copy, and then its history came again.
      await marketing.db.query(`update crm_product set name = 'Nail'`)
      await outside.seek('marketing.crm-product', 'beginning')
      // A lock on the other copy, which nobody releases; a message that never works; a handler that does not end.
      const locking = marketing.db.transaction(async (tx) => {
        await tx.query(`set local idle_in_transaction_session_timeout = 0`)
        await tx.query('lock table crm_customer in share mode')
        await released
      })
      ending.unshift(() => locking)
      await crm.db.transaction((tx) => crm.team.publish(tx, Customer, { id: 'c1', email: 'new@example.com' }))
      const bounce = (id: string) => crm.db.transaction((tx) => crm.team.publish(tx, Bounced, { id }))
      await bounce('bad')
      // In one batch with the other it would wait for it.
      await expect.poll(async () => shown(await scrape(), 'comity_waiting_keys', 'marketing.crm-email-bounced', 'parked'), WAIT).toBe(1)
      await expect.poll(async () => shown(await scrape(), 'comity_subscription_lag', 'marketing.slow'), WAIT).toBe(0)
      await bounce('slow')

      // A request that its owner can not decide, for a time and beyond its deadline by the asker's clock; an outcome that is not handled.
      await ask('hard')
      await (await ask('unreadable')).outcome(WAIT)
      const inLine = async () => (await crm.db.query(`select from comity.waiting where key = 'hard'`)).rows.length
      await expect.poll(inLine, WAIT).toBe(1)
      await crm.db.query(`update comity.waiting set time = time - interval '20 minutes' where key = 'hard'`)
      await marketing.db.query(`update comity.asked set deadline = now() - interval '1 minute' where key = 'hard'`)
      await marketing.db.query(`update comity.asks set handled_since = now() - interval '1 day'`)
      await marketing.db.query(`update comity.asked set heard_at = heard_at - interval '20 minutes' where key = 'unreadable'`)

      let troubled: ReadonlyMap<string, number> = new Map()
      const seen = async (): Promise<readonly unknown[]> => {
        // Who runs elsewhere goes on to say so: silent for 15 seconds it would be taken for gone.
        await outside.claim({ team: 'billing', incarnation: 1, holder: 'elsewhere:1:abc' })
        troubled = await scrape()
        return [
          shown(troubled, 'comity_broker_trouble', 'shop'),
          (shown(troubled, 'comity_outbox_oldest_age', 'shop') ?? 0) > 60,
          shown(troubled, 'comity_relay_leading', 'sales'),
          shown(troubled, 'comity_cleared', 'billing'),
          shown(troubled, 'comity_withheld', 'crm'),
          shown(troubled, 'comity_replica_conflicts', 'marketing.crm-product'),
          (shown(troubled, 'comity_replica_freshness', 'marketing.crm-customer') ?? 0) > 1,
          shown(troubled, 'comity_waiting_keys', 'marketing.crm-email-bounced', 'parked'),
          shown(troubled, 'comity_subscription_lag', 'marketing.slow'),
          shown(troubled, 'comity_request_open', 'marketing'),
          (shown(troubled, 'comity_request_unanswered_age', 'crm') ?? 0) > 1200,
          shown(troubled, 'comity_request_overdue', 'marketing'),
          (shown(troubled, 'comity_request_unhandled_age', 'marketing') ?? 0) > 1200,
        ]
      }
      await expect.poll(seen, WAIT).toEqual([1, true, 0, 0, 1, 1, true, 1, 1, 1, true, 1, true])
      await expectFiring(troubled, [
        alert('ComityBrokerTrouble', 'shop'),
        alert('ComityOutboxOld', 'shop'),
        alert('ComityNothingRelays', 'sales'),
        alert('ComityNotCleared', 'billing'),
        alert('ComityNothingRelays', 'billing'),
        alert('ComityWithheld', 'crm'),
        alert('ComityReplicaConflicts', 'marketing', 'marketing.crm-product'),
        alert('ComityReplicaBehind', 'marketing', 'marketing.crm-customer'),
        alert('ComitySubscriptionStuck', 'marketing', 'marketing.crm-customer'),
        alert('ComityKeysParked', 'marketing', 'marketing.crm-email-bounced'),
        alert('ComitySubscriptionStuck', 'marketing', 'marketing.slow'),
        alert('ComityKeysParked', 'crm', 'crm.crm-change-customer'),
        alert('ComityRequestUnanswered', 'crm'),
        alert('ComityRequestOverdue', 'marketing'),
        alert('ComityOutcomeUnhandled', 'marketing'),
      ])
      const provoked = readFileSync(fileURLToPath(import.meta.url), 'utf8')
      const all = [...readFileSync(rules, 'utf8').matchAll(/- alert: (\w+)/g)].map(([, name]) => name as string)
      expect(all.filter((name) => !provoked.includes(`${name}'`) && !provoked.includes(`${name}"`))).toEqual([])
      expect((await marketing.team.status()).problems).toContainEqual(
        expect.stringMatching(/^1 requests crm\.change-customer are overdue: crm has not answered/),
      )
      const table = stripVTControlCharacters(statusText([await crm.team.status(), await marketing.team.status()], 120))
      // No outcome yet; and at its owner a message in a line, 20 minutes old.
      expect(table).toMatch(/^ {2}asks +crm\.change-customer +1 +\d/m)
      expect(table).toMatch(/^ {2}asked +crm\.change-customer +20m +1$/m)
      expect((await marketing.team.status()).problems).toContainEqual(
        expect.stringMatching(/^1 outcomes of crm\.change-customer are not handled, the oldest for 12\d\d s/),
      )
      expect((await marketing.team.status()).problems).toContainEqual(
        expect.stringMatching(/^public\.crm_customer is \d+ s behind its owner, and its objective is 1 s$/),
      )
    }, 60_000)
  },
)

const WAIT = { timeout: 60_000, interval: 100 }
