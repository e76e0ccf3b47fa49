import { launchPostgres } from '@comity/embedded-postgres'
import { auditCopies } from './auditing.ts'
import { AGENCIES, type Changes, importCustomers, startClerks } from './customer-changes.ts'
import { Director } from './director.ts'
import type { Figures } from './figures.ts'
import { billingJoins } from './joining.ts'
import { campaignIsOver, caughtUpSince, emailsSentOf, isSettled, lagOfMarketing, waitingAt } from './looks.ts'
import { measureLag } from './measure-lag.ts'
import type { Narrator } from './narrator.ts'
import { type Installation, setUp } from './set-up.ts'
import { columnsOf, compareAll, countEvents, countSessions, findPhoneNumbers } from './verdict.ts'

const LAG_SAMPLES = 50
/** Of the customers: rows that CRM changes while Marketing is dead. */
const MISSED_SHARE = 1 / 4
/** Between planning the spring campaign and its start, in milliseconds. */
const PLANNED_AHEAD = 1_500
/** How long copies may take to become equal where the broker can't say that everything has arrived, in milliseconds. */
const SETTLING = 30_000
/** The name of a campaign as a bug in a template makes it. */
const BAD_CAMPAIGN = 'undefined'

export interface StoryOptions {
  readonly narrator: Narrator
  readonly signal: AbortSignal
  readonly seed: number
  /** How many CRM imports; what the campaigns send, and what Marketing misses, is in proportion. */
  readonly customers: number
  readonly installSeconds: number
  /** URL of another broker than the embedded default, a bus in Postgres. */
  readonly broker?: string | undefined
  /** Told before everything ends: for who wants to look around. */
  readonly onVerdict?: (figures: Figures, director: Director) => Promise<void>
}

export async function tellStory({ narrator, signal, seed, customers, installSeconds, broker, onVerdict }: StoryOptions): Promise<Figures> {
  const enoughMissed = Math.ceil(customers * MISSED_SHARE)
  const started = performance.now()
  const seconds = (): number => round((performance.now() - started) / 1000)

  narrator.chapter('An agency: CRM, Marketing and Data Analysis, each with a database of its own')
  await using postgres = await launchPostgres()
  signal.throwIfAborted()
  await using installation = await setUp(postgres, broker)
  const { teams } = installation
  narrator.say(
    `Postgres ${postgres.version} (pid ${postgres.pid}) has three teams' databases${broker === undefined ? ' and one for the bus' : `; the broker is ${broker}`}. ` +
      `Ready in ${seconds()} s.`,
  )

  await using director = new Director(installation, narrator, signal)
  const [crm, marketing, analysis] = await Promise.all([
    director.start('crm'),
    director.start('marketing'),
    director.start('data-analysis'),
  ])
  narrator.say(`Each team is a process: CRM (pid ${crm.pid}), Marketing (pid ${marketing.pid}), Data Analysis (pid ${analysis.pid}).`)
  await director.pause()

  narrator.chapter('CRM imports its customers, by plain SQL')
  const clerks = teams.crm.poolAs('crm_clerk')
  const importing = performance.now()
  await importCustomers(clerks, customers)
  await director.until(
    'customers in the copy of Marketing',
    ({ holds }) => holds.marketing.copies === customers,
    ({ holds }) => ({ done: holds.marketing.copies, of: customers }),
  )
  const importedRows = rate(customers, importing)
  narrator.say(
    `One INSERT of ${customers.toLocaleString('en')} rows; Marketing has them all, at ${importedRows.toLocaleString('en')} rows/s.`,
  )
  const columns = await columnsOf(teams.marketing.database, 'crm_customer')
  narrator.say(`Its table crm_customer has the columns ${columns.join(', ')}. There is no phone: it was not granted, so it never left CRM.`)
  const lags = await measureLag(clerks, teams.marketing.database, LAG_SAMPLES)
  const lagMs = { p50: round(percentile(lags, 0.5)), p99: round(percentile(lags, 0.99)), samples: lags.length }
  narrator.say(
    `A single change can be read in Marketing ${lagMs.p50} ms after its COMMIT in CRM (median of ${lags.length}; p99 ${lagMs.p99} ms).`,
  )
  await director.pause()

  narrator.chapter('From now on CRM’s clerks change customers without end')
  const changes: Changes = { transactions: 1 + 1 + lags.length, rows: customers + 1 + lags.length, rolledBack: 0 }
  await using clerking = startClerks(clerks, seed, changes)

  narrator.chapter('Marketing plans a campaign')
  const [first] = AGENCIES
  const sending = performance.now() + PLANNED_AHEAD
  const startsAt = new Date(Date.now() + PLANNED_AHEAD).toISOString()
  await director.ask('marketing', 'launch', { id: `${first}-spring-2026`, agencyId: first, title: 'Spring check-up', startsAt })
  await director.until(
    'the spring campaign to start',
    ({ holds, status }) => holds['data-analysis'].campaigns === 1 && status.marketing.outbox.scheduled === 0,
  )
  narrator.say(
    `Spring was planned for ${PLANNED_AHEAD / 1000} s later, in one transaction with its CampaignLaunched, which waited in Marketing's database ` +
      'and left at its time. Data Analysis knows it now.',
  )
  const spring = await director.until('emails of the spring campaign', campaignIsOver, ({ holds }) => ({
    done: holds['data-analysis'].sent,
    of: Math.round(customers / AGENCIES.length),
  }))
  const emailsSent = rate(spring.holds.marketing.sent, sending)
  narrator.say(
    `${spring.holds.marketing.sent.toLocaleString('en')} emails. Each send and its EmailSent were one transaction; CRM has written last_email and ` +
      `handed ${spring.holds.crm.thirdParty.toLocaleString('en')} to third parties, Data Analysis has counted them.`,
  )
  await director.pause()

  narrator.chapter('A bad message')
  const customerId = await anyCustomer(installation)
  await director.ask('marketing', 'sendByHand', { campaignId: BAD_CAMPAIGN, customerId })
  await director.ask('marketing', 'sendByHand', { campaignId: 'apology-2026', customerId })
  const parked = await director.until('the bad message and its follower wait', (look) => waitingAt(look).messages === 2)
  narrator.say(
    `Somebody's template sent customer ${customerId} an email of the campaign "${BAD_CAMPAIGN}". Data Analysis can't tell its year: the ` +
      'customer’s line waits there, the apology behind it in order. CRM has handled both, and nobody else waits.',
  )
  await director.pause()

  const joined = await billingJoins(installation, director, narrator)

  narrator.chapter('Marketing is killed in the middle of its largest campaign')
  for (const agencyId of AGENCIES) {
    await director.ask('marketing', 'launch', { id: `${agencyId}-summer-2026`, agencyId, title: 'Summer insurance' })
  }
  const middle = await director.until(
    'emails before the kill',
    ({ holds }) => holds.marketing.sent > spring.holds.marketing.sent + customers / 4,
    ({ holds }) => ({ done: holds.marketing.sent - spring.holds.marketing.sent, of: customers / 4 }),
  )
  await director.kill('marketing')
  const before = changes.rows
  narrator.say(`kill -9 ${marketing.pid}, after ${middle.holds.marketing.sent.toLocaleString('en')} emails. CRM goes on writing …`)
  await director.until(
    'rows changed in CRM meanwhile',
    () => changes.rows - before >= enoughMissed,
    () => ({ done: changes.rows - before, of: enoughMissed }),
  )
  const missedRows = changes.rows - before
  narrator.say(`CRM has changed ${missedRows} rows since, Data Analysis has read on: neither noticed. Marketing comes back.`)
  const back = performance.now()
  const again = await director.start('marketing')
  let missed = 0
  await director.until(
    'changes for Marketing to catch up with',
    (look) => caughtUpSince(look, back),
    (look) => {
      missed = Math.max(missed, lagOfMarketing(look))
      return { done: missed - lagOfMarketing(look), of: missed }
    },
  )
  const catchUpSeconds = round((performance.now() - back) / 1000)
  narrator.say(
    `The new process (pid ${again.pid}) has everything that Marketing missed after ${catchUpSeconds} s (the dead process's leases had to run out).`,
  )
  await director.until('emails of the summer campaigns', campaignIsOver, ({ holds }) => ({
    done: holds['data-analysis'].sent,
    of: Math.max(holds.marketing.sent, holds.marketing.copies + spring.holds.marketing.sent),
  }))
  await clerking.finish()
  const end = await director.until('everything announced to arrive', isSettled)
  narrator.say(`The campaign went on where it had stopped: ${end.holds.marketing.sent.toLocaleString('en')} emails in all.`)
  await director.pause()

  narrator.chapter('The waiting line is released')
  const { keys, messages } = waitingAt(end)
  const othersMeanwhile = end.holds['data-analysis'].sent - parked.holds['data-analysis'].sent
  narrator.say(
    `${keys} key waits with ${messages} messages; ${othersMeanwhile.toLocaleString('en')} emails of other customers passed it by. ` +
      `An analyst notes that "${BAD_CAMPAIGN}" was of 2026, and the line runs, in order.`,
  )
  const analyst = teams['data-analysis'].poolAs('data_analysis_analyst')
  await analyst.query('insert into campaign_years (campaign_id, year) values ($1, 2026)', [BAD_CAMPAIGN])
  await analyst.end()
  await director.ask('data-analysis', 'retry', { subscription: emailsSentOf(end).name, key: customerId })
  await director.until('the line is empty', (look) => waitingAt(look).messages === 0 && isSettled(look))
  await director.pause()

  const audited = await auditCopies(installation, director, narrator)

  narrator.chapter('The director compares every copy with its owner, row by row')
  const comparisons = await compareWhenSettled()
  const eventCounts = await countEvents(installation)
  const phones = await findPhoneNumbers(installation)
  const { sessions, superusers } = await countSessions(installation)
  for (const { name, rows, mismatches, example } of comparisons) {
    narrator.check(
      rows > 0 && mismatches === 0,
      `${name}: ${rows.toLocaleString('en')} rows, ${mismatches} differ${example ? `: ${example}` : ''}`,
    )
  }
  for (const { event, announced, handled } of eventCounts) {
    const counts = Object.entries(handled).map(([team, count]) => `${team} ${count.toLocaleString('en')}`)
    narrator.check(
      announced > 0 && sameCounts({ announced, handled }),
      `${event}: ${announced.toLocaleString('en')} announced; handled by ${counts.join(', ')}`,
    )
  }
  narrator.check(
    phones.outside === 0,
    `phone numbers: in ${phones.inside.toLocaleString('en')} rows of CRM, in ${phones.outside} elsewhere${installation.bus === undefined ? '' : ', the bus included'}`,
  )
  narrator.check(superusers === 0, `${sessions} sessions of the teams, ${superusers} of them a superuser’s`)

  const held =
    comparisons.every(({ rows, mismatches }) => rows > 0 && mismatches === 0) &&
    eventCounts.every((counts) => counts.announced > 0 && sameCounts(counts))
  const proven = audited.copies.length === 2 && audited.copies.every(({ verdict, rows }) => verdict === 'true' && rows > 0)
  const sound =
    proven &&
    audited.drift.repaired &&
    audited.drift.found.length === 1 &&
    joined.rows > 0 &&
    keys === 1 &&
    messages >= 2 &&
    phones.inside > 0 &&
    phones.outside === 0 &&
    sessions > 0 &&
    superusers === 0
  const figures: Figures = {
    story: 'agency',
    ok: held && sound,
    seconds: seconds(),
    installSeconds,
    postgres: postgres.version,
    customers: end.holds.crm.customers,
    changes,
    events: {
      campaignLaunched: end.holds.marketing.campaigns,
      emailSent: end.holds.marketing.sent,
      emailDelivered: end.holds.marketing.delivered,
    },
    rates: { importedRows, emailsSent },
    lagMs,
    killed: { emailsBefore: middle.holds.marketing.sent, missedRows, catchUpSeconds },
    parked: { keys, messages, othersMeanwhile },
    joined,
    audited,
    phoneNumbersOutside: phones.outside,
    superuserSessions: superusers,
    eventCounts,
    comparisons,
  }
  /** A broker that does not count can't say that nothing is on its way any more: there the copies get some time to become equal. */
  async function compareWhenSettled(): Promise<Figures['comparisons']> {
    const counts = Object.values(end.status).every(({ subscriptions }) => subscriptions.every(({ lagFrom }) => lagFrom === 'broker'))
    for (const started = performance.now(); ; await director.look()) {
      const compared = await compareAll(installation)
      if (counts || compared.every(({ mismatches }) => mismatches === 0) || performance.now() - started > SETTLING) return compared
    }
  }

  narrator.chapter(figures.ok ? `Every copy is equal to its owner. ${figures.seconds} s.` : 'Something differs: see ✗ above.')
  await onVerdict?.(figures, director)
  return figures
}

async function anyCustomer({ teams }: Installation): Promise<string> {
  const { rows } = await teams.marketing.database.query<{ id: string }>('select id from crm_customer order by length(id), id limit 1')
  return rows[0]?.id ?? ''
}

function sameCounts({ announced, handled }: Pick<Figures['eventCounts'][number], 'announced' | 'handled'>): boolean {
  return Object.values(handled).every((count) => count === announced)
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Per second. */
function rate(count: number, since: number): number {
  return Math.round((count * 1000) / (performance.now() - since))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
