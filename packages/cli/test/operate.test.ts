/** The operator's commands, one after the other on two teams that run. */
import type { Team } from 'comity'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { until } from '../../../test/chaos/until.ts'
import { type Agency, newAgency } from './support/agency.ts'
import { buildCli, fixture } from './support/comity.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '80'
  process.env.COMITY_AUTHOR = 'ada'
})
const { inProcess } = await import('./support/in-process.ts')

const CONFIG = ['-c', fixture('operated')]
const SUBSCRIPTION = 'crm.marketing-email-sent'
const WHY = ['--reason', 'a test']

let agency: Agency
let teams: readonly Team[]
beforeAll(async () => {
  await buildCli()
  agency = await newAgency()
  Object.assign(process.env, agency.env)
  await agency.crm.query('create table broken (customer text primary key)')
  await agency.crm.query(`insert into broken select 'b' || n from generate_series(1, 6) n`)
  for (const command of ['migrate', 'provision']) expect(await comity(command)).toMatchObject({ code: 0 })
  const { crm, marketing } = await import('./fixtures/operated/comity.config.ts')
  teams = [crm, marketing]
  for (const team of teams) await team.start()
  for (const customer of ['good', 'b1', 'b2', 'b3', 'b4', 'b5', 'b6']) await send(customer)
  await send('b1')
  await waiting(7)
  await deadLetters(6)
  // They came side by side.
  await agency.crm.query(`update comity.waiting_keys set tried_at = now() - substr(key, 2)::int * interval '1 minute'`)
}, 180_000)
afterAll(async () => {
  for (const team of teams ?? []) await team.stop()
  await agency?.close()
})

function comity(...args: readonly string[]) {
  return inProcess(...args, ...CONFIG)
}
async function send(customer: string): Promise<void> {
  await agency.marketing.query(`select comity.publish('marketing.email-sent', $1)`, [
    JSON.stringify({ customerId: customer, agencyId: customer === 'b6' ? 'a2' : 'a1' }),
  ])
}
async function waiting(messages: number): Promise<void> {
  await until(`${messages} messages wait`, async () => {
    const { rows } = await agency.crm.query(
      'select count(*)::int as n from comity.waiting_keys k join comity.waiting w on w.subscription = k.subscription and w.key = k.key and w.seq > k.done',
    )
    return rows[0].n === messages
  })
}
async function deadLetters(lines: number): Promise<void> {
  await until(`${lines} dead letters`, async () => {
    const { rows } = await agency.crm.query(`select count(*)::int as n from comity.waiting_keys where reason = 'parked'`)
    return rows[0].n === lines
  })
}
async function mend(...customers: string[]): Promise<void> {
  await agency.crm.query('delete from broken where customer = any ($1)', [customers])
}
/** What differs from run to run, in as many characters. */
function stable(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{12}\b/g, 'FINGERPRINT_')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/ +\d+(\.\d)?[sm](?= |$)/gm, (found) => 'AGO'.padStart(found.length))
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'JOB')
    .replaceAll(/\d{14}/g, 'N')
}

describe('dead letters', () => {
  test('are listed, grouped and shown within 80 columns; there are some: 3', async () => {
    const list = await comity('dead-letters', '--tenant', 'a1')
    expect(list.code).toBe(3)
    const groups = await comity('dead-letters', 'groups', '-t', 'crm')
    expect(groups.code).toBe(3)
    const shown = await comity('dead-letters', 'show', SUBSCRIPTION, 'b1')
    expect(shown.code).toBe(0)
    expect(`${list.stdout}${groups.stdout}`.split('\n').filter((line) => line.length > 80)).toEqual([])
    expect(stable([list.stdout, groups.stdout, shown.stdout].join('\n'))).toMatchInlineSnapshot(`
      "SUBSCRIPTION              KEY  TENANT  TRIED  BEHIND  ERROR
      crm
      crm.marketing-email-sent  b5   a1        AGO       0  COMITY_PERMANENT: nobody …
      crm.marketing-email-sent  b4   a1        AGO       0  COMITY_PERMANENT: nobody …
      crm.marketing-email-sent  b3   a1        AGO       0  COMITY_PERMANENT: nobody …
      crm.marketing-email-sent  b2   a1        AGO       0  COMITY_PERMANENT: nobody …
      crm.marketing-email-sent  b1   a1        AGO       1  COMITY_PERMANENT: nobody …
      marketing: no dead letters

      FINGERPRINT   COUNT  TENANTS  FIRST  LAST  ERROR              WHERE
      crm
      FINGERPRINT_      6        2    AGO   AGO  COMITY_PERMANENT…  anonymous (operat…

      crm.marketing-email-sent b1
        message      marketing-N
        version      N
        tenant       a1
        waits for    parked
        failed       1 times, last TIME
        error        PermanentError COMITY_PERMANENT: nobody has this customer
        where        anonymous (operated/comity.config.ts)
        group        FINGERPRINT_
        waits since  TIME

      Attributes:
        ce-specversion: 1.0
        ce-id: marketing-N
        ce-source: /teams/marketing
        ce-type: marketing.email-sent
        ce-subject: b1
        ce-time: TIME
        ce-partitionkey: b1
        ce-comityversion: N
        ce-comitykind: event
        content-type: application/json
        ce-comitytenant: a1

      Behind it (1):
        marketing-N  TIME
      "
    `)
    expect((await comity('dead-letters', '-t', 'marketing')).code).toBe(0)
  })

  test('have their content only where it is asked for, in JSON and in an export', async () => {
    const { stdout } = await comity('dead-letters', 'show', SUBSCRIPTION, 'b6', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ tenant: 'a2', head: { attributes: { 'ce-subject': 'b6' } } })
    expect(stdout).not.toContain('customerId')
    const lines = (await comity('dead-letters', 'export', '-t', 'crm', '--data', '--tenant', 'a2')).stdout.trim().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ key: 'b6', data: '{"customerId":"b6","agencyId":"a2"}' }])
    const page = JSON.parse((await comity('dead-letters', '-t', 'crm', '--limit', '4', '--json')).stdout).teams[0]
    const rest = JSON.parse((await comity('dead-letters', '-t', 'crm', '--after', page.next, '--json')).stdout).teams[0]
    expect([page.items.length, rest.items.length, rest.next]).toEqual([4, 2, null])
  })

  test('are not acted on without the count, and nothing is with --dry-run', async () => {
    const retry = ['dead-letters', 'retry', '-s', SUBSCRIPTION, ...WHY]
    expect(await comity(...retry, '--dry-run')).toEqual({
      ...{ code: 0, stderr: '', stdout: 'crm: this retries 6 lines with 7 messages of crm\n' },
    })
    const unconfirmed = await comity(...retry)
    expect(unconfirmed.code).toBe(1)
    expect(unconfirmed.stderr).toMatch(/COMITY_NOT_CONFIRMED\n {2}this retries 6 lines .*\n.*add: --yes 6/)
    expect((await comity(...retry, '--yes', '5')).stderr).toMatch(
      /COMITY_OTHER_CONFIRMED\n.*--yes 5 confirms something else\n.*write: --yes 6/,
    )
    expect((await comity('dead-letters', 'retry', '-s', SUBSCRIPTION)).stderr).toMatch(/required option '-r, --reason <text>'/)
    expect((await comity('dead-letters', 'retry', ...WHY)).stderr).toContain('COMITY_TEAM_NOT_NAMED')
  })

  test('are retried: those that fail again end it with 3, the others with 0', async () => {
    await mend('b1')
    const some = await comity('dead-letters', 'retry', '-s', SUBSCRIPTION, ...WHY, '--stop-above', '1', '--yes', '6')
    expect(some.code).toBe(3)
    expect(some.stdout).toMatch(/^this retries 6 lines.*\njob .*\n(.*\n)*done: 6 of 6 lines, 5 failed again, 2 messages ended/)
    await mend('b2')
    const one = await comity('dead-letters', 'retry', '-s', SUBSCRIPTION, '-k', 'b2', ...WHY)
    expect(one.code).toBe(0)
    expect((await comity('dead-letters', 'retry', '-s', SUBSCRIPTION, '-k', 'b2', ...WHY)).stdout).toBe('crm: nothing is selected\n')
  })

  test('are edited, skipped and discarded by name', async () => {
    const edit = ['dead-letters', 'edit', SUBSCRIPTION, 'b3', ...WHY, '--data', fixture('operated/edited.json')]
    expect((await comity(...edit)).stderr).toContain('add: --yes b3')
    expect(await comity(...edit, '--yes', 'b3')).toMatchObject({ code: 0, stdout: 'crm: edited; retry its line to run it\n' })
    expect((await comity('dead-letters', 'show', SUBSCRIPTION, 'b3')).stdout).toMatch(/Edited:\n.*by ada/)
    expect((await comity(...edit.slice(0, -1), fixture('contracts.ts'), '--yes', 'b3')).stderr).toContain('COMITY_BAD_VALUE')
    expect(await comity('dead-letters', 'skip', '-s', SUBSCRIPTION, '-k', 'b3', ...WHY, '--yes', '1', '--json')).toMatchObject({ code: 0 })
    expect(await comity('dead-letters', 'discard', '-s', SUBSCRIPTION, '--tenant', 'a2', ...WHY, '--yes', '1')).toMatchObject({ code: 0 })
    const { rows } = await agency.crm.query('select key, author, reason from comity.discarded order by key')
    expect(rows).toEqual([
      { key: 'b3', author: 'ada', reason: 'a test' },
      { key: 'b6', author: 'ada', reason: 'a test' },
    ])
    await deadLetters(2)
  })
})

describe('pauses, tenants, subscriptions', () => {
  test('a pause is shown everywhere until it is ended', async () => {
    expect((await comity('pause', SUBSCRIPTION, ...WHY, '--dry-run')).stdout).toMatch(
      /^crm: this pauses crm.marketing-email-sent: 1 subscriptions, 0 messages/,
    )
    expect(await comity('pause', SUBSCRIPTION, ...WHY)).toMatchObject({ code: 0, stdout: `crm: paused ${SUBSCRIPTION}\n` })
    expect(await comity('pause', '-t', 'crm', '--tenant', 'a7', ...WHY)).toMatchObject({
      code: 0,
      stdout: 'crm: paused all subscriptions for a7\n',
    })
    const list = await comity('subscriptions', '--state', 'paused')
    const tenants = await comity('tenants', '-t', 'crm')
    const status = await comity('status', '-t', 'crm')
    expect([list.code, tenants.code, status.code]).toEqual([0, 0, 3])
    const all = [list.stdout, tenants.stdout, status.stdout].join('\n')
    expect(all.split('\n').filter((line) => line.length > 80 && !line.includes('is paused by'))).toEqual([])
    expect(stable(all).replace(/relayed by \S+ term \d+/g, '…')).toMatchInlineSnapshot(`
      "SUBSCRIPTION              STATE   LAG  OLDEST  WAITING  DEAD  LAST
      crm
      crm.marketing-email-sent  paused    0       -        2     2   AGO
      crm.marketing-email-sent is paused by ada since TIME: a test
      marketing: no subscription is so

      TENANT  WAITING  NOW  DEAD  HELD  OLDEST  PAUSED      MOSTLY
      crm
      a1            2    0     2     0     AGO  -           crm.marketing-email-sent
      a7            0    0     0     0       -  everywhere  -

      TEAM                                       LAG  OLDEST  WAITING  WITHHELD  FRESH
      crm  …
        outbox   to version N         0       -                  0
        topic    crm.thanked
        handler  crm.marketing-email-sent (pau…    0       -        2

      ! crm: 1 tenants are paused in all subscriptions (a7)
      ! crm: crm.marketing-email-sent is paused by ada since TIME:
        a test; "comity resume crm.marketing-email-sent" ends that
      ! crm: 2 keys wait in crm.marketing-email-sent, 2 of them dead letters: "comity
        dead-letters" lists them
      "
    `)
    expect(await comity('resume', SUBSCRIPTION, ...WHY)).toMatchObject({ code: 0, stdout: `crm: resumed ${SUBSCRIPTION}\n` })
    expect((await comity('resume', SUBSCRIPTION, ...WHY)).stderr).toContain('COMITY_NOTHING_PAUSED')
    expect(await comity('resume', '-t', 'crm', '--tenant', 'a7', ...WHY, '--json')).toMatchObject({ code: 0 })
    expect((await comity('pause', '-t', 'crm', ...WHY)).stderr).toContain('COMITY_PAUSE_WITHOUT_TARGET')
  })

  test('a subscription is replayed when its name confirms it', async () => {
    const replay = ['replay', SUBSCRIPTION, ...WHY]
    expect((await comity(...replay)).stderr).toContain('neither --to nor --skip-to-now')
    expect((await comity(...replay, '--to', 'yesterday')).stderr).toContain('COMITY_BAD_VALUE')
    expect((await comity(...replay, '--to', 'beginning', '--dry-run')).stdout).toMatch(
      /^this sends crm.marketing-email-sent back to beginning/,
    )
    expect((await comity(...replay, '--to', 'beginning')).stderr).toContain(`add: --yes ${SUBSCRIPTION}`)
    const to = await comity(...replay, '--to', new Date(Date.now() - 1).toISOString(), '--yes', SUBSCRIPTION, '--json')
    expect(JSON.parse(to.stdout)).toMatchObject({ team: 'crm', subscription: SUBSCRIPTION, generation: 2 })
    const skipped = await comity(...replay, '--skip-to-now', '--yes', SUBSCRIPTION)
    expect(skipped.stdout).toMatch(/^crm: \d+ messages of crm.marketing-email-sent are left behind\n/)
    const seeking = async () => JSON.parse((await comity('subscriptions', '-t', 'crm', '--json')).stdout).teams[0].subscriptions[0].state
    await expect.poll(seeking, { timeout: 60_000 }).not.toBe('seeking')
  })

  test('an orphan is listed, adopted or removed', async () => {
    for (const name of ['crm.old', 'crm.older'])
      await agency.crm.query(
        `insert into comity.subscriptions (name, topic, kind, lanes) values ($1, 'marketing.email-sent', 'handler', 1)`,
        [name],
      )
    expect((await comity('subscriptions', '--state', 'orphaned')).stdout).toMatch(/crm\.old +orphaned/)
    expect((await comity('status', '-t', 'crm')).stdout).toContain('! crm: no code declares crm.old any more')
    expect((await comity('subscriptions', 'remove', SUBSCRIPTION, ...WHY, '--yes', SUBSCRIPTION)).stderr).toContain(
      'COMITY_SUBSCRIPTION_DECLARED',
    )
    expect((await comity('subscriptions', 'remove', 'crm.old', ...WHY)).stderr).toContain('add: --yes crm.old')
    expect(await comity('subscriptions', 'remove', 'crm.old', ...WHY, '--yes', 'crm.old')).toMatchObject({ code: 0 })
    expect(await comity('subscriptions', 'rename', 'crm.older', 'crm.newer', ...WHY, '--author', 'bob')).toMatchObject({ code: 0 })
    expect(await comity('subscriptions', 'remove', 'crm.newer', ...WHY, '--yes', 'crm.newer')).toMatchObject({ code: 0 })
    expect((await comity('subscriptions', 'rename', 'crm.nobody', 'crm.x', ...WHY)).stderr).toContain('did you mean')
  })
})

describe('trace', () => {
  test('tells the life of a message with what came of it, and ends with 3 where it waits', async () => {
    const id = async (customer: string) =>
      `marketing-${(await agency.marketing.query('select id from comity.outbox where key = $1 order by id limit 1', [customer])).rows[0].id}`
    const good = await comity('trace', await id('good'))
    expect(good.code).toBe(0)
    expect(stable(good.stdout)).toMatchInlineSnapshot(`
      "marketing-N  marketing.email-sent event of good (a1)
        written TIME, sent
        → crm.marketing-email-sent: applied TIME
            crm-N  crm.thanked event of good (a1)
              written TIME, sent
              → marketing.crm-thanked: applied TIME
      "
    `)
    const bad = await comity('trace', await id('b4'))
    expect(bad.code).toBe(3)
    expect(bad.stdout).toMatch(/→ crm.marketing-email-sent: waits since .*, at the head of its line \(parked\): COMITY_PERMANENT nobody/)
    expect((await comity('trace', await id('b6'))).stdout).toMatch(/ended without its effect .* by ada: a test/)
    expect((await comity('trace', 'marketing-1')).stderr).toContain('COMITY_MESSAGE_UNKNOWN')
    expect((await comity('trace', 'what?')).stderr).toContain('COMITY_NOT_A_MESSAGE_ID')
  })
})

describe('jobs and operations', () => {
  test('a job that nobody works on is shown, cancelled, and ends its command with 2', async () => {
    for (const team of teams) await team.stop()
    const retry = ['dead-letters', 'retry', '-s', SUBSCRIPTION, ...WHY, '--yes', '2']
    const begun = await comity(...retry, '--no-wait', '--json')
    expect(begun.code).toBe(0)
    const { job } = JSON.parse(begun.stdout)
    expect(await comity('jobs', 'show', job, '-t', 'crm')).toMatchObject({ code: 2 })
    const abandoned = await comity(...retry)
    expect(abandoned.code).toBe(2)
    expect(abandoned.stdout).toContain('nobody works on it: is "comity run" of crm running?')
    expect(await comity('jobs', 'cancel', job, '-t', 'crm', ...WHY)).toMatchObject({ code: 0 })
    const { jobs } = JSON.parse((await comity('jobs', '-t', 'crm', '--json')).stdout).teams[0]
    expect(jobs[1]).toMatchObject({ id: job, state: 'waiting', cancelAsked: true, lines: 2, author: 'ada' })
    expect((await comity('jobs', 'show', 'none', '-t', 'crm')).stderr).toContain('COMITY_JOB_UNKNOWN')
    expect((await comity('jobs', '-t', 'crm')).stdout).toMatch(/retry +waiting/)
  })

  test('what waits is purged when its count confirms it, by the next process that runs', async () => {
    const purge = ['purge', SUBSCRIPTION, ...WHY]
    expect((await comity(...purge, '--dry-run')).stdout).toContain('this discards 2 lines with 2 messages')
    expect((await comity(...purge, '--yes', '1')).code).toBe(1)
    for (const team of teams) await team.start()
    expect(await comity(...purge, '--yes', '2')).toMatchObject({ code: 0 })
    expect((await comity('dead-letters')).code).toBe(0)
  })

  test('a key is erased when it is said again; the register has who holds what, and the receipts', async () => {
    const register = async () => JSON.parse((await comity('erase', 'register', '-t', 'crm', '--json')).stdout).teams[0]
    const { holders } = await until('the owner knows who reads it', async () => {
      const known = await register()
      return known.holders.length > 0 && known
    })
    expect(holders).toMatchObject([
      { team: 'marketing', subscription: 'marketing.crm-thanked', kind: 'handler', topic: 'crm.thanked', fields: [] },
    ])
    const erase = ['erase', 'crm.thanked', 'good', ...WHY]
    expect((await comity(...erase, '--dry-run')).stdout).toContain(
      'this erases crm.thanked good: 1 rows of the outbox, 0 withheld, 0 scheduled here, and what marketing holds',
    )
    expect(await comity(...erase)).toMatchObject({ code: 1, stderr: expect.stringContaining('COMITY_NOT_CONFIRMED') })
    const erased = await comity(...erase, '--yes', 'good')
    expect(erased.code, erased.stderr).toBe(0)
    expect(erased.stdout).toContain('crm: erased crm.thanked good up to version ')
    expect(erased.stdout).toMatch(/ {2}marketing: marketing\.crm-thanked 0 rows, \d messages, 0 edits; the broker has it until 20\d\d-/)
    const csv = (await comity('erase', 'register', 'crm.thanked', '-t', 'crm', '--csv')).stdout.split('\r\n')
    expect(csv.map((line) => line.split(',', 5))).toMatchObject([
      ['record', 'owner', 'topic', 'key', 'team'],
      ['holder (handler)', 'crm', 'crm.thanked', '', 'marketing'],
      ['erasure', 'crm', 'crm.thanked', 'good', 'crm'],
      ['receipt', 'crm', 'crm.thanked', 'good', 'marketing'],
    ])
    const shown = await comity('erase', 'register', '-t', 'crm')
    expect(shown.code).toBe(0)
    expect(shown.stdout).toMatch(/crm\.thanked +marketing\.crm-thanked +handler/)
  })

  test('every act is recorded with who and why', async () => {
    const { operations } = JSON.parse((await comity('operations', '-t', 'crm', '--limit', '100', '--json')).stdout).teams[0]
    const kinds = new Set(operations.map(({ kind }: { kind: string }) => kind))
    for (const kind of ['retry', 'skip', 'discard', 'edit-message', 'pause', 'resume', 'replay', 'skip-to-now', 'purge', 'cancel-job'])
      expect(kinds).toContain(kind)
    expect(new Set(operations.map(({ author, reason }: { author: string; reason: string }) => `${author}: ${reason}`))).toEqual(
      new Set(['ada: a test', 'bob: a test']),
    )
    expect((await comity('operations', '-t', 'crm')).stdout).toMatch(/AGO +BY +KIND +WHAT +WHY/)
  })
})

test('the doctor finds what a superuser on a server without fsync has to hear', async () => {
  const { code, stdout } = await comity('doctor', '-t', 'crm')
  expect(code).toBe(3)
  expect(stdout).toMatch(/warning {3}server: fsync is off/)
  expect(stdout).toMatch(/warning {3}role: postgres is a superuser/)
  expect(stdout).toMatch(/ok {8}installation: migrated for this code/)
})
