/** Every team's database has the whole map: what each declares, whoever joins when, and nothing of what is not said by the team itself. */
import { request } from '@comity/contract'
import { type Queryable, type Team, team } from 'comity'
import { type Catalog, readCatalog, whoHolds } from 'comity/admin'
import { type TestTeam, testBus } from 'comity/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { testTeam } from '../../../../test/support/test-team.ts'
import { eventually } from '../control/eventually.ts'
import { Customer, threeTeams } from './three-teams.ts'

const bus = testBus()
const running: TestTeam<Queryable>[] = []
const teams = threeTeams()

async function start(one: Team<Queryable>): Promise<TestTeam<Queryable>> {
  const started = await testTeam(one, { bus })
  running.push(started)
  return started
}
afterAll(async () => {
  for (const one of running) await one[Symbol.asyncDispose]()
})

/** When a team's own database has all that the given teams declare. */
function known(one: TestTeam<Queryable>, names: readonly string[]): Promise<Catalog> {
  return eventually(`${one.team.name} knows ${names.join(', ')}`, async () => {
    const catalog = await readCatalog(one.team.declaration, one.team.environment)
    const there = names.every((name) => catalog.teams.some(({ team, presence }) => team === name && presence === 'here'))
    return there && catalog.contracts.every(({ description }) => description !== null) ? catalog : undefined
  })
}

let crm: TestTeam<Queryable>
let marketing: TestTeam<Queryable>
beforeAll(async () => {
  crm = await start(teams.crm)
  marketing = await start(teams.marketing)
})

test('each team has the whole map in its own database, of itself too', async () => {
  for (const one of [crm, marketing]) {
    const { teams: all, contracts } = await known(one, ['crm', 'marketing'])
    expect(all).toMatchObject([
      { team: 'crm', version: '2.4.1', contact: 'crm@example.com', owns: ['crm.customer'], handles: ['marketing.email-sent'] },
      { team: 'marketing', version: null, contact: '#marketing', keeps: ['crm.customer'], publishes: ['marketing.email-sent'] },
    ])
    expect(contracts.find(({ name }) => name === 'crm.customer')).toMatchObject({ kind: 'entity', owner: 'crm', contact: '#customers' })
    expect((await one.db.query(`select team from comity.catalog order by team`)).rows).toEqual([{ team: 'crm' }, { team: 'marketing' }])
  }
})

test('who joins late knows the others at once, and they know it', async () => {
  const late = await start(teams.analysis)
  const everybody = ['analysis', 'crm', 'marketing']
  const [theirs] = await Promise.all([known(late, everybody), known(crm, everybody), known(marketing, everybody)])
  expect(whoHolds(theirs, 'crm.customer.email')).toMatchObject([
    { team: 'crm', how: 'owns', contact: '#customers' },
    { team: 'marketing', how: 'keeps', table: 'public.crm_customer', column: 'mail_address', since: expect.stringMatching(/^\d{4}-.*Z$/) },
  ])
})

test('requests are in it as contracts of their owner, with who asks and who answers', async () => {
  const Rename = request('sales.rename', {
    ...{ entity: { ...Customer, name: 'sales.customer', owner: 'sales' }, key: 'id', contact: '#renaming' },
    data: z.object({ id: z.string(), name: z.string() }),
  })
  const sales = await start(
    team<Queryable>('sales')
      .owns(Rename.about as never)
      .answers(Rename, async () => undefined),
  )
  const asking = await start(team<Queryable>('asking').asks(Rename))
  for (const one of [sales, asking]) {
    const { teams: all, contracts } = await known(one, ['sales', 'asking'])
    const of = (name: string) => all.find(({ team: own }) => own === name)
    expect([of('asking')?.asks, of('asking')?.answers, of('sales')?.answers]).toEqual([['sales.rename'], [], ['sales.rename']])
    expect(contracts.find(({ name }) => name === 'sales.rename')).toMatchObject({
      ...{ kind: 'request', owner: 'sales', contact: '#renaming' },
      uses: [{ team: 'asking', how: 'asks', current: true }],
    })
  }
})
