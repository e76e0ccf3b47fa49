import type { Delivery } from 'comity/transport'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { onNewestPostgres } from '../../../../test/support/postgres.ts'
import { answersHeard, heartbeatsHeard } from '../../src/control/heard.ts'
import { operatedTeams } from '../../src/control/operated-teams.ts'
import { systemMessage } from '../../src/control/system-message.ts'
import type { PostgresDatabase } from '../../src/postgres/index.ts'
import { teamDatabase } from '../team-database.ts'

onNewestPostgres('what an operating team hears', () => {
  let database: PostgresDatabase
  const lines: string[] = []
  const logger = {
    debug: () => undefined,
    info: () => undefined,
    error: () => undefined,
    warn: (_: unknown, line: string) => void lines.push(line),
  }
  beforeAll(async () => {
    database = await teamDatabase()
  })
  afterAll(() => database.close())

  const hear = () => heartbeatsHeard({ team: 'platform', sender: 'crm', database, logger })
  const delivery = (type: 'comity.heartbeat' | 'comity.answer', data: unknown, sentAt: Date, from = 'crm', key = 'crm'): Delivery => ({
    ...{ bucket: 0, redelivered: false },
    message: { ...systemMessage({ type, team: from, id: 'x', key, data, now: sentAt }), sentAt },
  })
  const relay = { state: 'idle', holder: null, checkpoint: 0, pending: 0, withheld: 0 }
  const heartbeat = (state: string, extra = {}) => ({
    ...{ v: 1, team: 'crm', at: 'then', library: '1', state, processes: [], relay, subscriptions: [] },
    ...extra,
  })
  const ago = (seconds: number): Date => new Date(Date.now() - seconds * 1000)
  const crm = async () => (await operatedTeams(database, ['crm']))[0]

  test('is the newest heartbeat by the broker’s time, in whatever order it comes; a team whose last one is old is silent', async () => {
    await hear()([delivery('comity.heartbeat', heartbeat('working'), ago(100)), delivery('comity.heartbeat', heartbeat('stuck'), ago(90))])
    expect(await crm()).toMatchObject({ state: 'silent', heartbeat: { state: 'stuck' } })
    expect((await crm())?.age).toBeGreaterThanOrEqual(89)
    await hear()([delivery('comity.heartbeat', heartbeat('idle'), ago(1))])
    await hear()([delivery('comity.heartbeat', heartbeat('stuck'), ago(90))])
    expect(await crm()).toMatchObject({ state: 'alive', heartbeat: { state: 'idle' } })
  })

  test('is not what is unreadable, of a later version, or said by another team; a field of a later version is no harm', async () => {
    const strange = [
      delivery('comity.heartbeat', heartbeat('forged'), ago(0), 'evil'),
      delivery('comity.heartbeat', { ...heartbeat('incomplete'), relay: undefined }, ago(0)),
      delivery('comity.heartbeat', heartbeat('later', { v: 2 }), ago(0)),
    ]
    const good = delivery('comity.heartbeat', heartbeat('working', { mood: 'good' }), ago(0))
    expect(await hear()([good, ...strange])).toEqual(['ack', 'ack', 'ack', 'ack'])
    expect(await crm()).toMatchObject({ heartbeat: { state: 'working', mood: 'good' } })
    expect(lines).toHaveLength(2)
  })

  test('is an answer to its own commands, the first one', async () => {
    const id = '0190a1b2-0000-4000-8000-000000000001'
    const answer = (to: string, outcome: unknown) =>
      delivery(
        'comity.answer',
        { v: 1, command: id, to, team: 'crm', kind: 'ping', outcome, doneAt: '2026-11-05T10:15:00.123Z' },
        ago(0),
        'crm',
        to,
      )
    await answersHeard({ team: 'platform', sender: 'crm', database, logger })([
      answer('evil', 0),
      answer('platform', 1),
      answer('platform', 2),
    ])
    expect((await database.query('select outcome::text from comity.answers')).rows).toEqual([{ outcome: '1' }])
  })
})
