/** The life of a request on real databases: asked in the caller's transaction, decided once by the owner, heard, and visible in the copy. */
import { type Queryable, team } from 'comity'
import { type TestBus, type TestTeam, testBus } from 'comity/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { onNewestPostgres } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import {
  askFor,
  ChangeAbout,
  ChangeEmail,
  Customer,
  changeEmail,
  customer,
  decided,
  filled,
  newAsker,
  newCrm,
  Profile,
} from './requesting-teams.ts'

const PATIENCE = { timeout: 60_000 }

onNewestPostgres('requests', () => {
  let bus: TestBus
  let crm: TestTeam<Queryable>
  let marketing: TestTeam<Queryable>
  let runs = 0
  let failing = false

  beforeAll(async () => {
    bus = testBus()
    crm = await newCrm(bus, {
      customers: 40,
      answer: async (message, context) => {
        const { tx, reject, accept } = context
        runs++
        if (failing) throw new Error('the handler fails')
        const { email } = message.data
        if (email === 'closed') {
          await tx.query('update customers set name = $1 where id = $2', ['never', message.key])
          return reject('customer-closed')
        }
        if (email.startsWith('undeclared')) return reject('no-such-reason' as never)
        const taken = await tx.query<{ id: string }>('select id from customers where email = $1', [email])
        if (taken.rows[0] !== undefined && taken.rows[0].id !== message.key) return reject('email-taken', { by: taken.rows[0].id })
        await changeEmail(message, context)
        return accept()
      },
    })
    marketing = await newAsker(bus)
    await filled(marketing)
  })
  afterAll(async () => {
    await marketing?.[Symbol.asyncDispose]()
    await crm?.[Symbol.asyncDispose]()
  })

  test('accepted: the owner’s write and its answer are one transaction, and the copy has it when the outcome is visible', async () => {
    const asked = await askFor(marketing, 'c1', 'new1@example.com')
    const outcome = await asked.outcome(PATIENCE)
    expect(outcome).toMatchObject({ state: 'accepted', version: expect.any(Number), decidedAt: expect.any(Date) })
    if (outcome.state !== 'accepted') throw new Error('not accepted')
    await outcome.visible(PATIENCE)
    const { rows } = await marketing.db.query<{ email: string; comity_version: string }>(
      `select email, comity_version from crm_customer where id = 'c1'`,
    )
    expect(rows).toEqual([{ email: 'new1@example.com', comity_version: String(outcome.version) }])
    await expect.poll(() => asked.state(), PATIENCE).toBe('visible')
  })

  test('rejected for a declared reason: what is said with it arrives, and what the handler had written is undone', async () => {
    const taken = await (await askFor(marketing, 'c2', 'c3@example.com')).outcome(PATIENCE)
    expect(taken).toMatchObject({ state: 'rejected', reason: 'email-taken', detail: { by: 'c3' } })
    const closed = await (await askFor(marketing, 'c2', 'closed')).outcome(PATIENCE)
    expect(closed).toMatchObject({ state: 'rejected', reason: 'customer-closed', detail: null })
    expect(await customer(crm, 'c2')).toEqual({ id: 'c2', email: 'c2@example.com', name: 'C' })
  })

  test('a request of a transaction that rolled back was never asked', async () => {
    const id = 'rolled-back'
    await marketing.db
      .transaction(async (tx) => {
        await marketing.team.ask(tx, ChangeEmail, { customerId: 'c4', agencyId: 'a1', email: 'never@example.com' }, { id })
        throw new RangeError('rolled back on purpose')
      })
      .catch(() => undefined)
    await (await askFor(marketing, 'c4', 'after@example.com')).outcome(PATIENCE)
    expect((await decided(crm)).filter((one) => one.includes(id))).toEqual([])
    await expect(marketing.team.asked(ChangeEmail, id).outcome(PATIENCE)).rejects.toMatchObject({ code: 'COMITY_NO_SUCH_REQUEST' })
  })

  test('asked twice by one id, it is asked once; something else by the same id is refused', async () => {
    const before = runs
    await askFor(marketing, 'c5', 'five@example.com', { id: 'five' })
    await askFor(marketing, 'c5', 'five@example.com', { id: 'five' })
    await marketing.team.asked(ChangeEmail, 'five').outcome(PATIENCE)
    await (await askFor(marketing, 'c5', 'five@example.com')).outcome(PATIENCE)
    expect(runs).toBe(before + 2)
    await expect(askFor(marketing, 'c5', 'other@example.com', { id: 'five' })).rejects.toMatchObject({ code: 'COMITY_PUBLISH_REFUSED' })
  })

  test('the same request by another message is answered with what was recorded, and its handler does not run again', async () => {
    const asked = await askFor(marketing, 'c6', 'six@example.com', { id: 'six' })
    await asked.outcome(PATIENCE)
    const before = runs
    // As after a restore of the asker's database: it does not remember what it has asked.
    await marketing.db.query(`delete from comity.asked where id = 'six'`)
    const again = await askFor(marketing, 'c6', 'six@example.com', { id: 'six' })
    expect(await again.outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
    expect(runs).toBe(before)
    expect((await decided(crm)).filter((one) => one.includes('six'))).toEqual(['marketing six accepted'])
  })

  describe('expect', () => {
    test('what was seen still is so: accepted; it is not: a conflict that says how it is now, and no handler runs', async () => {
      const seen = { email: 'c7@example.com', name: 'C', seen: new Date('2026-01-01T00:00:00.5Z'), score: 0.1, tags: ['new'] }
      expect(await (await askFor(marketing, 'c7', 'seven@example.com', { expect: seen as never })).outcome(PATIENCE)).toMatchObject({
        state: 'accepted',
      })
      const before = runs
      const stale = await (
        await askFor(marketing, 'c7', 'late@example.com', { expect: { email: 'c7@example.com', name: 'C' } as never })
      ).outcome(PATIENCE)
      expect(stale).toMatchObject({ state: 'rejected', reason: 'conflict', detail: { email: 'seven@example.com', name: 'C' } })
      expect(runs).toBe(before)
    })

    test.each([
      ['another time', { seen: '2026-01-01T00:00:00.500001Z' }],
      ['another number', { score: 0.10000000000000002 }],
      ['another list', { tags: ['new', ''] }],
      ['null for a value', { seen: null }],
      ['that there is none', null],
    ])('%s is a conflict', async (_, given) => {
      const outcome = await (await askFor(marketing, 'c8', 'never@example.com', { expect: given as never })).outcome(PATIENCE)
      expect(outcome).toMatchObject({ state: 'rejected', reason: 'conflict' })
    })

    test.each([
      ['a time in another zone', { seen: '2026-01-01T01:00:00.5+01:00' }],
      ['the same number', { score: 0.1 }],
      ['fields in another order', { tags: ['new'], name: 'C' }],
    ])('%s is the same', async (_, given) => {
      const outcome = await (await askFor(marketing, 'c9', 'nine@example.com', { expect: given as never })).outcome(PATIENCE)
      expect(outcome).toMatchObject({ state: 'accepted' })
    })

    test('the copy as it is: accepted while the copy is true, a conflict while it is behind', async () => {
      expect(await (await askFor(marketing, 'c10', 'ten@example.com', { expect: 'copy' })).outcome(PATIENCE)).toMatchObject({
        state: 'accepted',
      })
      await marketing.db.query(`update crm_customer set name = 'D' where id = 'c11'`)
      const outcome = await (await askFor(marketing, 'c11', 'never@example.com', { expect: 'copy' })).outcome(PATIENCE)
      expect(outcome).toMatchObject({ state: 'rejected', reason: 'conflict', detail: { name: 'C', tags: ['new'] } })
    })

    test('of a state that is published by code: none, then one', async () => {
      const ask = (expected: unknown, about: string) =>
        marketing.db.transaction((tx) => marketing.team.ask(tx, ChangeAbout, { profileId: 'p1', about }, { expect: expected as never }))
      expect(await (await ask(null, 'first')).outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
      expect(await (await ask(null, 'first')).outcome(PATIENCE)).toMatchObject({
        state: 'rejected',
        reason: 'conflict',
        detail: { about: 'first' },
      })
      expect(await (await ask({ about: 'first' }, 'second')).outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
      await marketing.caughtUp()
      expect(await (await ask('copy', 'third')).outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
    })

    test('a field that there is not, and the key, are refused where they are asked', async () => {
      for (const given of [{ mail: 'x' }, { id: 'c1' }, {}, 'everything'])
        await expect(askFor(marketing, 'c1', 'x', { expect: given as never })).rejects.toMatchObject({ code: 'COMITY_EXPECTATION_UNFIT' })
    })

    test('two teams that have seen the same: one of them changes it, the other hears of a conflict; no update is lost', async () => {
      await using sales = await newAsker(bus, { name: 'sales' })
      const both = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          Promise.all(
            [marketing, sales].map(async (one, n) => {
              const asked = await askFor(one, `c${i + 21}`, `${n}-${i}@example.com`, {
                expect: { email: `c${i + 21}@example.com` } as never,
              })
              return asked.outcome(PATIENCE)
            }),
          ),
        ),
      )
      for (const [i, outcomes] of both.entries()) {
        const winner = outcomes.findIndex(({ state }) => state === 'accepted')
        expect(outcomes.map(({ state }) => state).sort()).toEqual(['accepted', 'rejected'])
        expect(outcomes[1 - winner]).toMatchObject({ reason: 'conflict', detail: { email: `${winner}-${i}@example.com` } })
        expect(await customer(crm, `c${i + 21}`)).toMatchObject({ email: `${winner}-${i}@example.com` })
      }
    })
  })

  test('after its deadline, by the owner’s clock, nothing is done', async () => {
    const before = runs
    const outcome = await (await askFor(marketing, 'c12', 'never@example.com', { deadline: new Date(0) })).outcome(PATIENCE)
    expect(outcome).toEqual({ state: 'expired', decidedAt: expect.any(Date) })
    expect(await (await askFor(marketing, 'c12', 'soon@example.com', { deadline: '1h' })).outcome(PATIENCE)).toMatchObject({
      state: 'accepted',
    })
    expect(runs).toBe(before + 1)
  })

  test('what waits because its handler fails ends by its deadline, by its withdrawal, or with its line; other keys go on', async () => {
    failing = true
    const soon = await askFor(marketing, 'c13', 'never13@example.com', { deadline: new Date(Date.now() + 300) })
    const withdrawn = await askFor(marketing, 'c14', 'never14@example.com')
    const discarded = await askFor(marketing, 'c15', 'never15@example.com')
    const waits = await askFor(marketing, 'c16', 'sixteen@example.com')
    const lines = async () =>
      (await crm.db.query<{ key: string }>(`select key from comity.waiting_keys order by key`)).rows.map(({ key }) => key)
    await expect.poll(lines, PATIENCE).toEqual(['c13', 'c14', 'c15', 'c16'])
    failing = false
    expect(await (await askFor(marketing, 'c17', 'other@example.com')).outcome(PATIENCE)).toMatchObject({ state: 'accepted' })

    expect(await soon.outcome(PATIENCE)).toMatchObject({ state: 'expired' })
    expect(await marketing.db.transaction((tx) => marketing.team.withdraw(tx, ChangeEmail, withdrawn.id))).toBe(true)
    expect(await withdrawn.outcome(PATIENCE)).toMatchObject({ state: 'withdrawn' })
    expect(await marketing.db.transaction((tx) => marketing.team.withdraw(tx, ChangeEmail, withdrawn.id))).toBe(false)
    await crm.db.query(
      `insert into comity.discarded (subscription, message, key, time, reason) select subscription, message, key, time, 'a test' from comity.waiting where key = 'c15'`,
    )
    expect(await discarded.outcome(PATIENCE)).toMatchObject({ state: 'rejected', reason: 'discarded' })
    expect(await waits.state()).toBe('requested')

    const before = runs
    for (const key of await lines()) await crm.team.retry('crm.crm-change-customer-email', key)
    expect(await waits.outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
    expect(runs).toBe(before + 1)
    expect(await lines()).toEqual([])
    for (const n of [13, 14, 15]) expect(await customer(crm, `c${n}`)).toMatchObject({ email: `c${n}@example.com` })
  })

  test('withdrawn after it was decided, it stays as it was decided', async () => {
    const asked = await askFor(marketing, 'c18', 'eighteen@example.com')
    await expect.poll(() => decided(crm), PATIENCE).toContain(`marketing ${asked.id} accepted`)
    await marketing.db.transaction((tx) => marketing.team.withdraw(tx, ChangeEmail, asked.id))
    expect(await asked.outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
    await crm.caughtUp()
    expect(await decided(crm)).toContain(`marketing ${asked.id} accepted`)
  })

  test('a reason that the contract does not know is an error of the handler: the request waits, and is not answered', async () => {
    const asked = await askFor(marketing, 'c19', 'undeclared@example.com')
    const line = async () =>
      (await crm.db.query<{ code: string }>(`select error_code as code from comity.waiting_keys where key = 'c19'`)).rows
    await expect.poll(line, PATIENCE).toEqual([{ code: 'COMITY_REASON_UNDECLARED' }])
    expect(await asked.state()).toBe('requested')
    await expect(asked.outcome({ timeout: 20 })).rejects.toMatchObject({ code: 'COMITY_OUTCOME_OVERDUE' })
  })

  test('what is not asked here, unfit data, and options that there are not, are refused as by publish', async () => {
    const ask = (one: TestTeam<Queryable>, data: unknown) => one.db.transaction((tx) => one.team.ask(tx, ChangeEmail, data as never))
    const data = { customerId: 'c1', agencyId: 'a1', email: 'x' }
    await expect(ask(crm, data)).rejects.toMatchObject({ code: 'COMITY_NOT_ASKED_HERE' })
    await expect(ask(marketing, { customerId: 'c1' })).rejects.toMatchObject({ code: 'COMITY_INVALID_DATA' })
    await expect(askFor(marketing, 'c1', 'x', { id: 'not allowed' })).rejects.toMatchObject({ code: 'COMITY_BAD_OPTION' })
    await expect(askFor(marketing, 'c1', 'x', { deadlin: '1h' } as never)).rejects.toMatchObject({ code: 'COMITY_UNKNOWN_OPTION' })
  })

  test('any language asks by SQL, by the same door', async () => {
    const data = { customerId: 'c20', agencyId: 'a1', email: 'sql@example.com' }
    const { rows } = await marketing.db.query<{ id: string }>(
      `select comity.ask('crm.change-customer-email', $1, deadline => now() + interval '1 hour') as id`,
      [JSON.stringify(data)],
    )
    expect(await marketing.team.asked(ChangeEmail, (rows[0] as { id: string }).id).outcome(PATIENCE)).toMatchObject({ state: 'accepted' })
    await expect(marketing.db.query(`select comity.ask('crm.change-customer-email', '{"customerId": "c20"}')`)).rejects.toMatchObject({
      code: 'CM003',
    })
    await expect(
      marketing.db.query(`select comity.publish('crm.change-customer-email', $1)`, [JSON.stringify(data)]),
    ).rejects.toMatchObject({ code: 'CM001' })
  })

  test('a request that nobody answers is an error at start that says what to do; once its owner is provisioned, nobody need run', async () => {
    const lonely = testBus()
    const asker = team<Queryable>('marketing').asks(ChangeEmail)
    await expect(testTeam<Queryable>(asker, { bus: lonely })).rejects.toMatchObject({
      code: 'COMITY_REQUEST_UNANSWERED',
      message: expect.stringContaining('crm.change-customer-email'),
    })
    const owner = team<Queryable>('crm', { database: 'postgres://nobody', transport: lonely.memory.connect() })
      .owns(Customer)
      .owns(Profile)
      .answers(ChangeEmail, changeEmail)
    await owner.provision()
    await using started = await testTeam<Queryable>(asker, { bus: lonely })
    await askFor(started, 'c1', 'kept@example.com')
    await started.team.drained()
    expect(await lonely.memory.connect().stats(['crm.crm-change-customer-email'])).toMatchObject([{ backlog: 1 }])
  })

  test('a handler asks and publishes in its own transaction', async () => {
    const own = testBus()
    await using owner = await newCrm(own, { customers: 1 })
    const asker = team<Queryable>('marketing')
      .keeps(Customer, { fields: ['email'] })
      .asks(ChangeEmail)
      .on(
        Customer,
        async ({ key, state }, { ask }) => {
          if (state?.email.endsWith('@example.com'))
            await ask(ChangeEmail, { customerId: key, agencyId: 'a1', email: state.email.replace('example.com', 'example.org') })
        },
        { name: 'tidying' },
      )
    await using started = await testTeam<Queryable>(asker, { bus: own })
    await owner.db.query(`update customers set email = 'again@example.com'`)
    await expect.poll(() => customer(owner, 'c1'), PATIENCE).toMatchObject({ email: 'again@example.org' })
    const states = async () =>
      (await started.db.query<{ state: string }>('select state from comity.asked_requests')).rows.map(({ state }) => state)
    await expect.poll(async () => [...new Set(await states())], PATIENCE).toEqual(['visible'])
  })
})
