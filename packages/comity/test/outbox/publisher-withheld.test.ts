/** What the SQL door takes, and no message can hold, is withheld with its reason; the relay goes on. */
import { team } from 'comity'
import { testBus } from 'comity/testing'
import { expect, test } from 'vitest'
import { freshDatabase } from '../../../../test/support/postgres.ts'
import { testTeam } from '../../../../test/support/test-team.ts'
import { Noted } from './publishing.ts'

const deep = `${'['.repeat(65)}${']'.repeat(65)}`

test('withheld is what breaks the contract, or is no JSON as readers take it; the others go out', async () => {
  const bus = testBus()
  const seen: unknown[] = []
  await using crm = await testTeam(team('crm').publishes(Noted), { bus, url: (await freshDatabase({ migrated: true })).url })
  await using reader = await testTeam(
    team('reader').on(Noted, (message) => {
      seen.push(message.key)
    }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  const publish = (id: string, body: string) =>
    crm.db.query(`select comity.publish('crm.noted', $1::text) as version`, [`{"id":"${id}","body":${body}}`])
  await publish('first', '1')
  await publish('deep', deep)
  await publish('endless', '1e400')
  await publish('proto', '{"__proto__":1}')
  await publish('many', JSON.stringify(new Array(100_001).fill(0)))
  await publish('last', '2')
  await reader.caughtUp()
  expect(seen.sort()).toEqual(['first', 'last'])
  const { rows } = await crm.db.query<{ key: string; code: string; reason: string }>(
    'select key, code, reason from comity.withheld order by id',
  )
  expect(rows.map(({ key, code }) => `${key}: ${code}`)).toEqual([
    'deep: COMITY_DATA_TOO_DEEP',
    'endless: COMITY_NOT_JSON_VALUE',
    'proto: COMITY_NOT_JSON_VALUE',
    'many: COMITY_DATA_TOO_MANY_NODES',
  ])
  for (const { reason } of rows) expect(reason).not.toMatch(/\n/)
})

test('no row stops the relay, whoever wrote it', async () => {
  const bus = testBus()
  const seen: string[] = []
  await using crm = await testTeam(team('crm').publishes(Noted), { bus, url: (await freshDatabase({ migrated: true })).url })
  await using reader = await testTeam(
    team('reader').on(Noted, (message) => {
      seen.push(message.key)
    }),
    { bus, url: (await freshDatabase({ migrated: true })).url },
  )
  const insert = (key: string, headers: string | null, checked: boolean, tenant: string | null = null) =>
    crm.db.query(
      `insert into comity.outbox (topic, key, kind, tenant, payload, headers, checked) values ('crm.noted', $1::text, 'event', $2::text, $3::text, $4::text, $5::text::boolean)`,
      [key, tenant, JSON.stringify({ id: key, body: 1 }), headers, String(checked)],
    )
  for (const checked of [true, false]) {
    await insert(`no json ${checked}`, 'no json', checked)
    await insert(`null ${checked}`, 'null', checked)
    await insert(`trace ${checked}`, '{"traceparent":"x"}', checked)
    await insert(`reserved ${checked}`, '{"id":"x"}', checked)
    await insert(`tenant ${checked}`, null, checked, 'a\nb')
    await insert(`control\n${checked}`, null, checked)
  }
  await insert('good', null, true)
  await reader.caughtUp()
  expect(seen).toEqual(['good'])
  const { rows } = await crm.db.query<{ code: string }>('select code from comity.withheld')
  expect(rows).toHaveLength(12)
})
