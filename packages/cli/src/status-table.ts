import type { TeamStatus } from 'comity'
import type { DeprecatedUse, SubscriptionState } from 'comity/admin'
import pc from 'picocolors'
import { age, count, freshness, lagOf, NONE, printable } from './cell.ts'
import type { ShownError } from './print-error.ts'
import { type Column, type Row, renderTable, wrap } from './table.ts'

/** A team's status, or why it can't be told. */
export type TeamReport = TeamStatus | { readonly team: string; readonly error: ShownError }

const COLUMNS: readonly Column[] = [
  { title: 'TEAM', align: 'left' },
  { title: '', align: 'left', flexible: true },
  { title: 'LAG', align: 'right' },
  { title: 'OLDEST', align: 'right' },
  { title: 'WAITING', align: 'right' },
  { title: 'WITHHELD', align: 'right' },
  { title: 'FRESH', align: 'right' },
]

/** One table for all teams, and what needs someone in words below it. */
export function statusText(reports: readonly TeamReport[], width: number): string {
  const problems = reports.flatMap((report) =>
    'error' in report
      ? [`${report.team}: ${report.error.cause}. ${report.error.remedy}`]
      : report.problems.map((problem) => `${report.team}: ${problem}`),
  )
  const deprecated = reports.flatMap((report) =>
    'error' in report ? [] : report.deprecated.map((use) => `${report.team}: ${deprecatedText(use)}`),
  )
  const verdict = problems.length === 0 ? [pc.green('no problems')] : problems.map((problem) => pc.red(wrap(`! ${problem}`, width, 2)))
  const told = deprecated.map((use) => pc.yellow(wrap(`- ${use}`, width, 2)))
  return [renderTable(COLUMNS, reports.flatMap(rowsOf), width), '', ...told, ...verdict].join('\n')
}

function deprecatedText({ contract, field, from, owner, contact, readBy }: DeprecatedUse): string {
  const what = field === '' ? contract : `${contract}.${field}`
  const whom = contact === null ? owner : `${owner} (${printable(contact)})`
  return `${readBy.join(', ')} reads ${what}, deprecated from ${printable(from)}: ask ${whom}`
}

/** What nobody has to be told in a table of numbers; that no process runs is seen by what grows. */
const QUIET: ReadonlySet<SubscriptionState> = new Set(['working', 'idle', 'unattended'])

/** LAG: messages behind, or requests whose outcome was not heard; OLDEST and FRESH: how old what is behind is; WAITING: messages in lines of keys that wait. */
function rowsOf(report: TeamReport): readonly Row[] {
  if ('error' in report) return [`${pc.bold(report.team)}  ${pc.red(report.error.code)}`]
  const { outbox, subscriptions, replicas, requests } = report
  const relay =
    outbox.relay === null ? '' : pc.dim(`  relayed by ${outbox.relay.holder.split(':', 2).join(':')}, term ${outbox.relay.term}`)
  const rows: Row[] = [pc.bold(report.team) + (outbox.topics.length === 0 ? '' : relay)]
  if (outbox.topics.length > 0) {
    rows.push([
      { text: '  outbox' },
      { text: `to version ${outbox.checkpoint}` },
      count(outbox.pending, pc.yellow),
      age(outbox.oldestPendingSeconds),
      NONE,
      count(outbox.withheld, pc.red),
      NONE,
    ])
  }
  if (outbox.nextDue !== null)
    rows.push([{ text: '  scheduled' }, { text: `next at ${outbox.nextDue}` }, NONE, NONE, count(outbox.scheduled, pc.cyan), NONE, NONE])
  for (const topic of outbox.topics) rows.push([{ text: '  topic' }, { text: topic }, NONE, NONE, NONE, NONE, NONE])
  for (const subscription of subscriptions) {
    const { name, topic, kind, state, oldestSeconds, waiting } = subscription
    const replica = kind === 'replica' ? replicas.find(({ entity }) => entity === topic) : undefined
    rows.push([
      { text: `  ${kind}` },
      { text: QUIET.has(state) ? name : `${name} (${state})` },
      lagOf(subscription),
      age(oldestSeconds),
      count(waiting, pc.red),
      NONE,
      replica === undefined ? NONE : freshness(replica.freshnessSeconds),
    ])
    if (subscription.lostHandled > 0) {
      const text = `had handled ${subscription.lostHandled.toLocaleString('en')} messages that their owner has lost: their ids are in comity.lost_handled`
      rows.push([{ text: '  lost' }, { text, paint: pc.yellow }, NONE, NONE, NONE, NONE, NONE])
    }
    const filling = replica?.backfill && fillingText(replica.backfill)
    if (filling) rows.push([{ text: '  backfill' }, { text: filling, paint: pc.cyan }, NONE, NONE, NONE, NONE, NONE])
  }
  for (const { side, request, open, oldestSeconds } of requests) {
    if (side === 'asked')
      rows.push([{ text: '  asks' }, { text: request }, count(open, pc.yellow), age(open === 0 ? null : oldestSeconds), NONE, NONE, NONE])
    else if (open > 0) rows.push([{ text: '  asked' }, { text: request }, NONE, age(oldestSeconds), count(open, pc.red), NONE, NONE])
  }
  return rows
}

/** Of a copy that is being filled: `filling: 1,200 of 5,000 rows, 400 a second, 9 s left`. */
function fillingText({
  state,
  paused,
  rows,
  estimate,
  rate,
  eta,
}: NonNullable<TeamStatus['replicas'][number]['backfill']>): string | undefined {
  if (!['asking', 'filling', 'settling'].includes(state)) return undefined
  const of = estimate === null || estimate < rows ? '' : ` of ${estimate.toLocaleString('en')}`
  return [
    `${paused ? 'paused' : state}: ${rows.toLocaleString('en')}${of} rows`,
    ...(rate === null ? [] : [`${Math.round(rate).toLocaleString('en')} a second`]),
    ...(eta === null ? [] : [`${eta} s left`]),
  ].join(', ')
}
