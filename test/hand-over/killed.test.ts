/**
 * An entity goes from one team to another while eight writers write it, and processes of all who have to do with it are ended by kill -9, at every
 * step of it. Its readers keep the code of before, and hear of it. Judged by the history checker, as if it had had one owner all the time.
 */
import { historyChecker } from 'comity/testing'
import { afterEach, expect, test } from 'vitest'
import { act } from '../../packages/comity/test/admin/act.ts'
import { publications } from '../backfill/observed-copy.ts'
import { until } from '../chaos/until.ts'
import { shortAndFull } from '../support/full.ts'
import type { Kill } from '../support/killed-process.ts'
import type { Side } from './sides.ts'
import { newWorld, type World } from './world.ts'

/** Who is killed; `migration` is what makes the copy of accounts its table. */
type Party = Side | 'migration'
interface Moment {
  readonly name: string
  /** Undefined: by the test, before the hand-over begins; the next one starts when it has committed. */
  readonly kill?: Kill
}
type Round = Readonly<Partial<Record<Party, Moment>>>

const MARKS = '-- hand over crm.customer'
const NOTE = 'insert into comity.hand_overs'
const TAKE = 'select comity.take_over\\('
const about: Moment = { name: 'about to note what it was told', kill: { at: NOTE, times: 1 } }
const noted: Moment = { name: 'noted, and not heeded', kill: { after: NOTE, at: 'select s.lanes, s.generation', times: 1 } }

/** Each is one hand-over. */
const ROUNDS = shortAndFull<Round>(
  [
    {
      crm: { name: 'half of the buckets were told', kill: { at: MARKS, times: 5 } },
      migration: {
        name: 'the copy is its table, and that is not committed',
        kill: { after: TAKE, at: 'comity.release_capture', times: 1 },
      },
    },
  ],
  [
    {
      crm: { name: 'the hand-over is committed, and not read' },
      accounts: about,
      marketing: about,
      sales: noted,
      heir: { name: 'about to send its first', kill: { at: '-- send crm.customer', times: 1 } },
    },
    {
      crm: { name: 'read, and what came after it is not recorded as withheld', kill: { at: 'insert into comity.withheld', times: 1 } },
      accounts: noted,
      marketing: noted,
      sales: about,
      migration: { name: 'committed, and nobody was told', kill: { after: TAKE, at: '-- committed', times: 1 } },
      heir: { name: 'sent, and not recorded as sent', kill: { at: '-- sent crm.customer', times: 1 } },
    },
    {
      crm: { name: 'about to tell', kill: { at: MARKS, times: 1 } },
      accounts: { name: 'a mark was passed, and is not recorded', kill: { after: NOTE, at: 'insert into comity.marks', times: 1 } },
      heir: { name: 'about to send, later', kill: { at: '-- send crm.customer', times: 8 } },
    },
    {
      crm: { name: 'all were told, and that is not recorded', kill: { at: 'update comity.hand_overs set told_at', times: 1 } },
      accounts: { name: 'another mark was passed', kill: { after: NOTE, at: 'insert into comity.marks', times: 5 } },
      marketing: { name: 'a mark was passed, and is not recorded', kill: { after: NOTE, at: 'insert into comity.marks', times: 1 } },
      heir: { name: 'sent, and not recorded as sent, later', kill: { at: '-- sent crm.customer', times: 6 } },
    },
  ],
).map(
  (round) =>
    [
      Object.entries(round)
        .map(([party, { name }]) => `${party} (${name})`)
        .join(', '),
      round,
    ] as const,
)

let world: World | undefined
afterEach(() => world?.[Symbol.asyncDispose]())

test.each(ROUNDS)('killed: %s', { timeout: 240_000 }, async (_, round) => {
  world = await newWorld()
  const { dbs, writers, processes } = world
  const started = world
  const running = Object.fromEntries(
    (['crm', 'accounts', 'marketing', 'sales'] as const).map((side) => [side, started.run(side, round[side]?.kill)]),
  ) as Record<Side, ReturnType<World['run']>>
  const checker = historyChecker()
  const happened = (party: Party): void =>
    checker.add({ f: 'fault', phase: 'ok', process: party, time: performance.now(), name: round[party]?.name ?? '' })
  const killed = (party: Party, child: ReturnType<World['run']>): Promise<void> =>
    until(`${party} is killed: ${round[party]?.name}`, () => child.signalCode ?? (child.exitCode !== null && 'it has ended'), 90_000).then(
      (signal) => {
        expect(signal, `${party}: ${round[party]?.name}`).toBe('SIGKILL')
        happened(party)
      },
    )

  for (const reader of ['accounts', 'marketing'] as const)
    await until(`the copy of ${reader}`, async () => {
      const { rows } = await dbs[reader].query<{ state: string }>('select state from comity.asked_backfills')
      return rows.length > 0 && rows.every(({ state }) => state === 'ready')
    })
  const writing = started.write()
  await until('the handler is at work', async () => (await dbs.sales.query('select from effects')).rows.length > 100)

  if (round.crm?.kill === undefined) await processes.ended(running.crm, 'SIGKILL')
  const last = await handOver(started)
  if (round.crm?.kill === undefined) {
    happened('crm')
    await until('somebody writes on', async () => (await above(started, last)).length > 10)
    running.crm = started.run('crm')
  }

  const replaced = Promise.all(
    (['crm', 'accounts', 'marketing', 'sales'] as const).map(async (side) => {
      if (round[side]?.kill === undefined) return
      await killed(side, running[side])
      if (side === 'crm' && round.crm?.kill?.at === MARKS && round.crm.kill.times === 5) await halfOfTheBucketsAreNotEnough(started)
      running[side] = started.run(side)
    }),
  )
  const migrating = migrate()
  for (const work of [replaced, migrating]) work.catch(() => undefined)
  await replaced
  await migrating

  expect(await taken(started), 'what accounts has, as crm had it').toEqual(await given(started, last))
  // In a deployment the old code goes on for a while beside the new one; then it is who sends the first.
  if (round.heir !== undefined) await processes.ended(running.accounts, 'SIGKILL')
  const atCrm = await above(started, last)
  writers.goOnAtAccounts()
  const written = (n: number) =>
    until(`${n} changes at accounts`, () => writers.written.filter(({ place }) => place === 'accounts').length >= n)
  await written(60)
  if (round.heir === undefined) await processes.ended(running.accounts, 'SIGKILL')
  running.heir = started.run('heir', round.heir?.kill)
  if (round.heir !== undefined) {
    await killed('heir', running.heir)
    running.heir = started.run('heir')
  }
  await written(250)
  writers.stop()
  await writing

  const late = writers.written.filter(({ place, version }) => place === 'crm' && version > last)
  expect(late.length).toBeGreaterThanOrEqual(atCrm.length)
  expect(late.length).toBeGreaterThan(0)
  await until('all of it is withheld', async () => (await withheld(started)).length >= late.length)
  await started.drained()
  await until('every reader was told', async () => (await dbs.crm.query('select from comity.hand_overs where told_at is not null')).rows[0])

  // Named, one for each key and version, and nothing else is.
  expect(await withheld(started)).toEqual(
    late.map(({ key, version }) => ({ key, version, code: 'COMITY_HANDED_OVER', resolution: null })).sort((a, b) => a.version - b.version),
  )
  const published = await publications(dbs.bus)
  for (const [source, here] of [
    ['/teams/crm', (version: number) => version <= last],
    ['/teams/accounts', (version: number) => version > last],
  ] as const) {
    const theirs = published.filter((one) => one.source === source)
    expect(theirs.length).toBeGreaterThan(50)
    expect(theirs.filter(({ version }) => !here(version))).toEqual([])
  }
  expect(published.filter(({ source }) => source !== '/teams/crm' && source !== '/teams/accounts')).toEqual([])
  for (const reader of ['accounts', 'marketing'] as const)
    expect((await dbs[reader].query('select * from comity.conflicts')).rows).toEqual([])

  for (const operation of writers.history(last)) checker.add(operation)
  for (const publication of published) checker.add(publication)
  const faults = Object.keys(round).length
  const judgement = checker.judge(await started.observe(faults))
  expect(judgement.violations).toEqual([])
  expect(judgement).toMatchObject({ valid: true, counts: { faults } })
  console.info(
    `${faults} kills, ${judgement.counts.writes.ok} writes, ${late.length} of them withheld, ${judgement.counts.effects} effects`,
  )

  async function migrate(): Promise<void> {
    if (round.migration !== undefined) {
      await killed('migration', started.run('heir', round.migration.kill, { migrates: true }))
      expect(await started.isTaken()).toBe(round.migration.kill?.at === '-- committed')
    }
    const child = started.run('heir', undefined, { migrates: true })
    expect([await processes.ended(child), child.exitCode]).toEqual([null, 0])
    expect(await started.isTaken()).toBe(true)
  }
})

/** As `comity hand-over` does; refused while its map lacks the copy, and while others write in its way. @returns the last version of crm */
async function handOver(world: World): Promise<number> {
  let refused: unknown
  const before = (await world.dbs.accounts.query<{ last: string }>('select last_value::text as last from comity.outbox_id')).rows[0]
  const { version } = await until('the hand-over', () =>
    act<{ version: number }>(world.team('crm') as never, 'hand-over', { entity: 'crm.customer', to: 'accounts' }).catch(
      (error: unknown) => {
        refused = error
        return undefined
      },
    ),
  ).catch((cause: Error) => {
    throw new Error(String(refused), { cause })
  })
  // Else nobody would see whether taking over moves them.
  expect(Number(before?.last)).toBeLessThan(version)
  return version
}

async function halfOfTheBucketsAreNotEnough(world: World): Promise<void> {
  await until('some marks have come', async () => (await world.dbs.accounts.query('select from comity.hand_overs')).rows[0])
  await expect(world.team('heir').migrate()).rejects.toThrow(/of 8 buckets of its topic have ended/)
  expect(await world.isTaken()).toBe(false)
}

type Row = Readonly<Record<'id' | 'agencyId' | 'email' | 'name', string>>
async function taken({ dbs }: World): Promise<readonly Row[]> {
  return (await dbs.accounts.query<Row>('select id, agency_id as "agencyId", email, name from customers order by id')).rows
}

/** What crm had, by what it has recorded up to its last version. */
async function given({ dbs }: World, last: number): Promise<readonly Row[]> {
  const { rows } = await dbs.crm.query<{ kind: string; payload: string }>(
    `select distinct on (key) key, kind, payload from comity.outbox where topic = 'crm.customer' and id <= $1::text::bigint order by key, id desc`,
    [String(last)],
  )
  return rows.flatMap(({ kind, payload }) => (kind === 'deleted' ? [] : [JSON.parse(payload)]))
}

async function above({ dbs }: World, last: number): Promise<readonly unknown[]> {
  return (await dbs.crm.query(`select from comity.outbox where topic = 'crm.customer' and id > $1::text::bigint`, [String(last)])).rows
}

async function withheld({ dbs }: World): Promise<readonly object[]> {
  const { rows } = await dbs.crm.query<{ key: string; id: string; code: string; resolution: string | null }>(
    'select key, id::text as id, code, resolution from comity.withheld order by withheld.id',
  )
  return rows.map(({ id, ...row }) => ({ ...row, version: Number(id) }))
}
