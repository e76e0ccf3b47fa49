import { appendFile } from 'node:fs/promises'
import type { ContractCheck, Verdict } from 'comity/admin'
import { Command, Option } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../../command.ts'
import { terminalWidth, wrap } from '../../table.ts'
import { annotations } from './annotations.ts'
import { type CheckedTeam, checkedTeams } from './checked.ts'
import { markdown } from './markdown.ts'
import { changeWords, consumerWords, reasonWords } from './words.ts'

interface CheckOptions extends CommonOptions {
  readonly format?: 'text' | 'github' | 'markdown'
  readonly strict?: boolean
}

const HELP = `
Compares the contracts of the code with those that each team's database has published, for everyone who reads them: teams tell
each owner what they keep and handle, and where they say which version of a contract they have, it is theirs that counts. Run it
with a URL of the live database, before the change is deployed. Changes nothing.

  broken      it will refuse messages, or misses a field that it says it reads
  possibly    that could not be excluded: a handler without "fields", patterns
              or alternatives that can't be compared
  unaffected  every message that may come is one that it takes

A request is held against the teams that ask it: they write its data, and read what is said with a rejection.

Removing a field that nobody reads breaks nobody. What a consumer refuses of older messages once it has the new version is
named too: see "lifts" in docs/changing-a-contract.md.

Exit codes: 0 = nobody is broken; 1 = error; 2 = somebody is, or with --strict is possibly affected.

Example:
  $ CRM_URL=$LIVE_READ_ONLY comity contracts check --team crm --format github`

export function checkCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('check')
    .description('who is broken by the contracts of this working tree, field by field')
    .addOption(
      new Option('--format <format>', 'github: annotations, and a Markdown summary into $GITHUB_STEP_SUMMARY')
        .choices(['text', 'github', 'markdown'])
        .default('text')
        .conflicts('json'),
    )
    .option('--strict', 'end with 2 if somebody is possibly affected, too')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: CheckOptions): Promise<ExitCode> {
  const teams = await checkedTeams(options)
  if (options.json) console.log(JSON.stringify({ teams }))
  else if (options.format === 'markdown') console.log(markdown(teams))
  else if (options.format === 'github') {
    for (const line of annotations(teams)) console.log(line)
    const { GITHUB_STEP_SUMMARY: summary } = process.env
    if (summary === undefined) console.log(markdown(teams))
    else await appendFile(summary, markdown(teams))
  } else for (const team of teams) console.log(teamText(team))
  const verdicts = teams.flatMap(({ contracts }) => contracts.flatMap(({ consumers }) => consumers.map(({ verdict }) => verdict)))
  return verdicts.includes('broken') || (options.strict && verdicts.includes('possibly')) ? 2 : 0
}

const PAINT: Readonly<Record<Verdict, (text: string) => string>> = { broken: pc.red, possibly: pc.yellow, unaffected: pc.green }

function teamText({ team, contracts }: CheckedTeam): string {
  if (contracts.length === 0) return `${pc.bold(team)}: it publishes nothing`
  return [pc.bold(team), ...contracts.flatMap(contractLines)].join('\n')
}

function contractLines(check: ContractCheck): readonly string[] {
  const lines = [`${check.contract}: ${changeWords(check)}`]
  if (check.consumers.length === 0) lines.push(pc.dim('  nobody reads it'))
  for (const consumer of check.consumers) {
    lines.push(`  ${PAINT[consumer.verdict](consumer.verdict.padEnd(10))}  ${consumerWords(consumer)}`)
    for (const reason of consumer.reasons) lines.push(line(reasonWords(reason)))
    for (const reason of consumer.older) lines.push(line(`older messages, once it has the new version: ${reasonWords(reason)}`))
  }
  for (const { field, from, readers } of check.deprecated)
    lines.push(
      line(
        `${field === '' ? 'the whole' : field} is deprecated from ${from}: ${readers.length === 0 ? 'nobody reads it' : `still read by ${readers.join(', ')}`}`,
        2,
      ),
    )
  return lines
}

function line(text: string, indent = 14): string {
  return ' '.repeat(indent) + wrap(text, terminalWidth() - indent, indent)
}
