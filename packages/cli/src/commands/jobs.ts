import { type Job, jobOf, listJobs } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type ActOptions, act, withAct } from '../act.ts'
import { ago, count, printable, text } from '../cell.ts'
import { withTeam } from '../choose-team.ts'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { codeOf, followJob, jobText } from '../follow-job.ts'
import { numberOf } from '../page-options.ts'
import { type Cell, type Column, renderTable, terminalWidth } from '../table.ts'

const HELP = `
A job retries, skips or discards many lines. The running team works on it, crash-safe.

Example:
  $ comity jobs
  $ comity jobs show 0b0cf3f6-6a4e-4b5e-9c1c-0a8f2f3d7f10 --team crm --watch`

const SHOW_HELP = `
Exit codes: 0 = done, and nothing failed; 1 = error; 2 = it has not ended; 3 = some failed again, or it was stopped or
cancelled.

Example:
  $ comity jobs show 0b0cf3f6-6a4e-4b5e-9c1c-0a8f2f3d7f10 --team crm --watch`

const CANCEL_HELP = `
It ends after the lines that are under way; what it has done stays done.

Exit codes: 0 = done; 1 = error, or it has ended already.

Example:
  $ comity jobs cancel 0b0cf3f6-6a4e-4b5e-9c1c-0a8f2f3d7f10 --team crm --reason 'wrong group'`

export function jobsCommand(finish: (code: ExitCode) => void): Command {
  const list = new Command('list')
    .description('the newest jobs')
    .option('--limit <rows>', 'at most', '20')
    .addHelpText('after', '\nExit codes: 0 = listed; 1 = error.\n\nExample:\n  $ comity jobs list --limit 5')
  const show = new Command('show')
    .description('one job: what it takes, how far it is, how it ended')
    .argument('<id>')
    .option('-w, --watch', 'until it has ended')
    .addHelpText('after', SHOW_HELP)
  const cancel = new Command('cancel')
    .description('end a job after the lines that are under way')
    .argument('<id>')
    .addHelpText('after', CANCEL_HELP)
  return new Command('jobs')
    .description('acts over many lines: what is under way, and how it ended')
    .addCommand(declare(withJson(withConfig(list)), listAll, finish), { isDefault: true })
    .addCommand(declare(withJson(withConfig(show)), showOne, finish))
    .addCommand(declare(withAct(cancel), cancelOne, finish))
    .addHelpText('after', HELP)
}

const COLUMNS: readonly Column[] = [
  { title: 'JOB', align: 'left' },
  { title: 'KIND', align: 'left' },
  { title: 'STATE', align: 'left' },
  { title: 'DONE', align: 'right' },
  { title: 'OF', align: 'right' },
  { title: 'FAILED', align: 'right' },
  { title: 'BEGUN', align: 'right' },
  { title: 'BY', align: 'left', flexible: true },
]

async function listAll(options: CommonOptions & { readonly limit: string }): Promise<ExitCode> {
  const limit = numberOf('--limit', options.limit)
  const reports = await eachTeam(options, async (team) => ({ team: team.name, jobs: await listJobs(team.environment, limit) }))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else for (const { team, jobs } of reports) console.log(listText(team, jobs))
  return 0
}

function listText(team: string, jobs: readonly Job[]): string {
  if (jobs.length === 0) return `${pc.bold(team)}: no jobs`
  const rows = jobs.map((job): readonly Cell[] => [
    text(job.id),
    text(job.kind),
    text(job.state, job.state === 'done' ? pc.green : pc.yellow),
    count(job.done, pc.green),
    count(job.lines, pc.yellow),
    count(job.failed, pc.red),
    ago(job.createdAt),
    text(job.author),
  ])
  return renderTable(COLUMNS, [pc.bold(team), ...rows], terminalWidth())
}

function showOne(options: CommonOptions & { readonly watch?: boolean }, id: string): Promise<ExitCode> {
  return withTeam(options, { command: 'jobs show' }, async (team) => {
    const quiet = options.json === true
    const before = await jobOf(team.environment, id)
    if (!quiet) console.log(jobFacts(before))
    const { job, code } = options.watch ? await followJob(team, id, { quiet }) : { job: before, code: codeOf(before) }
    if (quiet) console.log(JSON.stringify({ team: team.name, job }))
    else if (!options.watch) console.log(jobText(job))
    return code
  })
}

function jobFacts({ id, kind, selection, author, reason, lines, messages, stages, rate, createdAt }: Job): string {
  const chosen = Object.entries(selection).map(([name, value]) => `${name} ${printable(String(value))}`)
  return [
    `${pc.bold(kind)} ${id}`,
    `  of          ${chosen.join(', ') || 'all dead letters'}`,
    `  by          ${printable(author)} at ${createdAt}: ${printable(reason)}`,
    `  estimate    ${lines} lines, ${messages} messages`,
    ...(stages.length > 0 ? [`  stages      ${stages.join(', ')}, all`] : []),
    ...(rate === null ? [] : [`  rate        ${rate} lines a second`]),
  ].join('\n')
}

function cancelOne(options: ActOptions, id: string): Promise<ExitCode> {
  return withTeam(options, { command: 'jobs cancel' }, async (team) => {
    if (options.dryRun) {
      const job = await jobOf(team.environment, id)
      console.log(options.json ? JSON.stringify({ team: team.name, dryRun: true, job }) : `this cancels: ${jobText(job)}`)
      return 0
    }
    await act(team, 'cancel-job', { job: id }, options)
    console.log(
      options.json
        ? JSON.stringify({ team: team.name, job: id })
        : `${pc.bold(team.name)}: the job ends after the lines that are under way`,
    )
    return 0
  })
}
