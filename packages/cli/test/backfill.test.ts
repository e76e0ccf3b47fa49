/** `comity backfill status`, over what two teams have recorded: from both sides, in each state, with the code that tells a script what it is. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Agency, BOTH, newAgency } from './support/agency.ts'
import { buildCli } from './support/comity.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '140'
})
const { inProcess } = await import('./support/in-process.ts')

const COPY = 'marketing.crm-customer'
let agency: Agency
beforeAll(async () => {
  await buildCli()
  agency = await newAgency()
  Object.assign(process.env, agency.env)
  for (const command of ['migrate', 'provision']) expect(await inProcess(command, '-c', BOTH)).toMatchObject({ code: 0 })
}, 180_000)
afterAll(() => agency?.close())

function status(...args: readonly string[]) {
  return inProcess('backfill', 'status', ...args, '-c', BOTH)
}
const stable = (text: string): string => text.replaceAll(/ +\d+(\.\d)?[sm](?= |$)/gm, (found) => 'AGO'.padStart(found.length)).trimEnd()

/** As the copy of a thousand rows has it when 250 have come in ten seconds. */
async function record(state: string, more: Readonly<Record<string, unknown>> = {}): Promise<void> {
  await agency.marketing.query('delete from comity.asked_backfills')
  const row = { why: 'new', estimate: 1000, rows: 250, withheld: 0, wanted: 'run', ...more }
  await agency.marketing.query(
    `insert into comity.asked_backfills (replica, owner, entity, state, why, estimate, rows, withheld, removed, wanted, reason, began_at, moved_at, ended_at)
     select $1, 'crm', 'crm.customer', $2, r.why, r.estimate, r.rows, r.withheld, coalesce(r.removed, 0), r.wanted, r.reason, now() - interval '10 s', now(),
       case when $2 in ('ready', 'incomplete', 'refused', 'cancelled') then now() end
     from jsonb_populate_record(null::comity.asked_backfills, $3::jsonb) r`,
    [COPY, state, JSON.stringify(row)],
  )
}

test('one that runs: a bar, its rate and what is left, from both sides; 2', async () => {
  await record('filling', { withheld: 3 })
  await agency.crm.query(
    `insert into comity.backfills (id, asked_by, replica, entity, fields, state, estimate, rows, waits_for, began_at, moved_at)
     values (gen_random_uuid(), 'marketing', $1, 'crm.customer', '["name"]', 'running', 1000, 500, '[{"pid":4711,"seconds":12}]', now() - interval '5 s', now())`,
    [COPY],
  )
  const { code, stdout } = await status()
  expect(code).toBe(2)
  expect(stable(stdout)).toMatchInlineSnapshot(`
    "COPY                    SIDE   STATE                ROWS     OF  PER S  LEFT  ASKED
    crm
    marketing.crm-customer  owner  running  █████░░░░░   500  1,000    100   AGO    AGO  waits for pid 4711 (12s)
    marketing
    marketing.crm-customer  copy   filling  ███░░░░░░░   250  1,000     25   AGO    AGO  3 withheld"
  `)
  await agency.crm.query('delete from comity.backfills')
})

test('one that waits for an operator says so, and promises no time; 2', async () => {
  await record('filling', { reason: 'the tenant a2 is paused here' })
  expect((await status(COPY)).stdout).toContain('the tenant a2 is paused here')
  await record('filling', { wanted: 'pause' })
  const { code, stdout } = await status(COPY)
  expect(code).toBe(2)
  expect(stable(stdout)).toMatchInlineSnapshot(`
    "COPY                    SIDE  STATE                        ROWS     OF  PER S  LEFT  ASKED
    crm  nothing was filled
    marketing
    marketing.crm-customer  copy  filling, paused  ███░░░░░░░   250  1,000     25     -    AGO"
  `)
})

test.each([
  ['ready', 0],
  ['cancelled', 0],
  ['incomplete', 3],
  ['refused', 3],
])('one that ended as %s: %i', async (state, code) => {
  await record(state, { reason: state === 'ready' ? null : 'why it ended', removed: 2 })
  const ended = await status()
  expect(ended.code).toBe(code)
  expect(ended.stdout).toContain(state)
  expect(ended.stdout).toContain('2 removed')
})

test('a script reads it as JSON; a copy that nobody knows has none; 0', async () => {
  await record('ready', { rows: 1000 })
  const { stdout } = await status('--json')
  const { teams } = JSON.parse(stdout)
  expect(teams.find(({ team }: { team: string }) => team === 'marketing').backfills).toMatchObject([
    { side: 'copy', replica: COPY, with: 'crm', state: 'ready', rows: 1000, estimate: 1000, eta: null, waitsFor: [] },
  ])
  const none = await status('marketing.other')
  expect(none).toMatchObject({ code: 0 })
  expect(none.stdout).toContain('nothing was filled')
})
