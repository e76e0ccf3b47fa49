/** What is kept of what is said on the topic that all teams read, and what is not. */
import { randomUUID } from 'node:crypto'
import { operate } from 'comity/admin'
import type { Delivery } from 'comity/transport'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { onNewestPostgres } from '../../../../test/support/postgres.ts'
import { declarationReport, ownContracts } from '../../src/admin/declaration-report.ts'
import { readCatalog } from '../../src/admin/reads/read-catalog.ts'
import { catalogHeard } from '../../src/control/catalog-heard.ts'
import { lookAtTeam } from '../../src/control/heartbeat.ts'
import { systemMessage } from '../../src/control/system-message.ts'
import { teamDatabase } from '../team-database.ts'
import { Customer, threeTeams } from './three-teams.ts'

onNewestPostgres('what a team hears of others', () => {
  let database: Awaited<ReturnType<typeof teamDatabase>>
  const { crm, marketing } = threeTeams()
  const lines: string[] = []
  const line = (_: unknown, text: string): void => void lines.push(text)
  const logger = { debug: () => undefined, info: () => undefined, error: line, warn: line }
  beforeAll(async () => {
    database = await teamDatabase()
  })
  afterAll(() => database.close())
  beforeEach(async () => {
    lines.length = 0
    for (const table of ['catalog', 'catalog_contracts', 'catalog_fields', 'announced']) await database.query(`delete from comity.${table}`)
  })

  const hear = (...deliveries: Delivery[]) => catalogHeard({ database, logger })(deliveries)
  const said = (type: string, data: Readonly<Record<string, unknown>>, secondsAgo = 0, from = String(data.team)): Delivery => {
    const now = new Date(Date.now() - secondsAgo * 1000)
    return {
      ...{ bucket: 0, redelivered: false },
      message: { ...systemMessage({ type, team: from, id: 'x', key: from, data, now }), sentAt: now },
    }
  }
  const declared = (extra = {}) => ({ v: 1, library: '0.6.0', ...declarationReport(marketing.declaration), ...extra })
  const owned = () => ownContracts(crm.declaration).map((one) => ({ v: 1, team: 'crm', ...one }))
  const seen = (team: string, state: string) => ({ v: 1, team, library: '0.6.0', state })
  const rows = async (sql: string) => (await database.query<Record<string, unknown>>(sql)).rows

  test('is the newest declaration by the broker’s time; a field that stays keeps the time since when it is kept', async () => {
    const [first] = declared().keeps
    const wider = declared({ keeps: [{ ...first, fields: ['email', 'name', 'phone'] }] })
    await hear(
      said('comity.declaration', declared(), 100),
      said('comity.declaration', wider, 50),
      said('comity.declaration', declared(), 90),
    )
    const fields = await rows(`
      select field, "column", copied_to, round(extract(epoch from now() - since))::int / 10 * 10 as since from comity.catalog_fields order by field`)
    expect(fields).toEqual([
      { field: 'agencyId', column: 'agency_id', copied_to: 'public.crm_customer', since: 100 },
      { field: 'email', column: 'mail_address', copied_to: 'public.crm_customer', since: 100 },
      { field: 'id', column: 'id', copied_to: 'public.crm_customer', since: 100 },
      { field: 'name', column: 'name', copied_to: 'public.crm_customer', since: 100 },
      { field: 'phone', column: null, copied_to: 'public.crm_customer', since: 50 },
    ])
    await hear(said('comity.declaration', declared({ keeps: [] })))
    expect(await rows('select field from comity.catalog_fields')).toEqual([])
  })

  test('is each contract of a team as long as that declares it', async () => {
    const own = { v: 1, library: '0.6.0', ...declarationReport(crm.declaration) }
    await hear(said('comity.declaration', own, 20), ...owned().map((one) => said('comity.contract', one, 20)))
    expect(await rows(`select name, description ->> 'owner' as owner from comity.catalog_contracts`)).toEqual([
      { name: 'crm.customer', owner: 'crm' },
    ])
    await hear(said('comity.declaration', { ...own, owns: [] }, 10))
    expect(await rows('select name from comity.catalog_contracts')).toEqual([])
  })

  test('is when it was last heard, and who is silent', async () => {
    await hear(said('comity.declaration', declared(), 4000), said('comity.seen', seen('marketing', 'stuck'), 200))
    const { teams } = await readCatalog(crm.declaration, { database: database as never })
    expect(teams.find(({ team }) => team === 'marketing')).toMatchObject({ presence: 'silent', state: 'stuck' })
    await hear(said('comity.seen', seen('marketing', 'idle'), 5), said('comity.seen', seen('marketing', 'trouble'), 100))
    const later = await readCatalog(crm.declaration, { database: database as never })
    expect(later.teams.find(({ team }) => team === 'marketing')).toMatchObject({ presence: 'here', state: 'idle' })
  })

  test('is not what a team says for another, what does not fit, or what a later version wrote; none of it stops what follows', async () => {
    const bad = [
      said('comity.declaration', declared(), 0, 'evil'),
      said('comity.declaration', { ...declared(), keeps: 'all' }),
      said('comity.contract', { ...(owned()[0] as object), team: 'crm' }, 0, 'marketing'),
      said('comity.heartbeat', seen('crm', 'idle')),
    ]
    const newer = said('comity.declaration', { ...declared(), v: 2 })
    expect(await hear(...bad, newer, said('comity.seen', seen('crm', 'idle')))).toEqual(Array(6).fill('ack'))
    expect(await rows('select team, declaration from comity.catalog')).toEqual([{ team: 'crm', declaration: null }])
    expect(lines).toHaveLength(4)
  })

  test('a team that is new hears what this one had said before it came; one that says it again does not', async () => {
    const look = async () => (await lookAtTeam(database, { team: 'crm', library: '0.6.0' })).catalogued
    expect(await look()).toBeNull()
    await database.query(`insert into comity.announced (what, hash, at) values ('catalog', 'h', clock_timestamp())`)
    await hear(said('comity.declaration', { ...declared(), team: 'crm' }))
    expect(await look()).toBe('h')
    await hear(said('comity.declaration', declared()))
    expect(await look()).toBeNull()
    await database.query(`update comity.announced set at = clock_timestamp()`)
    await hear(said('comity.declaration', declared()), said('comity.seen', seen('marketing', 'idle')))
    expect(await look()).toBe('h')
    await database.query(`update comity.announced set at = at - interval '61 minutes'`)
    expect(await look()).toBeNull()
  })

  test('goes when an operator says that the team is no more, and not while it speaks', async () => {
    const forget = () =>
      operate({ database } as never, crm.declaration, {
        ...{ id: randomUUID(), kind: 'forget-team', arguments: { team: 'marketing' }, author: 'ann', reason: 'dissolved', origin: 'cli' },
      })
    await hear(said('comity.declaration', declared(), 100))
    expect((await forget()).error).toMatchObject({ code: 'COMITY_TEAM_NOT_FORGOTTEN' })
    await database.query(`update comity.catalog set heard_at = heard_at - interval '2 minutes'`)
    expect((await forget()).outcome).toEqual({ team: 'marketing' })
    expect(await rows('select team from comity.catalog union all select team from comity.catalog_fields')).toEqual([])
    expect((await forget()).error).toMatchObject({ code: 'COMITY_TEAM_NOT_FORGOTTEN' })
  })

  test('fields of a contract that only its readers were heard of are known by their names', async () => {
    await hear(
      said('comity.declaration', declared({ keeps: [{ ...declared().keeps[0], contract: 'shop.order', name: 'marketing.shop-order' }] })),
    )
    const { contracts, teams } = await readCatalog(crm.declaration, { database: database as never })
    expect(contracts.find(({ name }) => name === 'shop.order')).toMatchObject({
      kind: null,
      owner: 'shop',
      description: null,
      uses: [{ current: null }],
    })
    expect(teams.find(({ team }) => team === 'shop')).toMatchObject({ presence: 'unheard' })
    expect(contracts.find(({ name }) => name === Customer.name)?.description).not.toBeNull()
  })
})
