import { type Diagnosis, doctor, type Finding } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { type CommonOptions, declare, type ExitCode, eachTeam, withConfig, withJson } from '../command.ts'
import { terminalWidth, wrap } from '../table.ts'

const HELP = `
Looks at the server and its settings, poolers and clocks, rights of the connected role, migrations and captures, transactions
and replication slots that were forgotten, partitions, fields that it reads and their owners have deprecated, and at what
"comity status" names. Changes nothing. Run it with the URL that "comity run" has: rights and settings are those of its role.

Exit codes: 0 = all is well; 1 = error, or the team could not be looked at; 3 = there are warnings or errors.

Example:
  $ CRM_URL=$RUNNER_URL comity doctor --team crm`

export function doctorCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('doctor')
    .description('look for what is wrong, or will be, with what to do about it')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: CommonOptions): Promise<ExitCode> {
  const reports = await eachTeam(options, (team) => doctor(team.declaration, team.environment))
  if (options.json) console.log(JSON.stringify({ teams: reports }))
  else console.log(reports.map(diagnosisText).join('\n\n'))
  return reports.some(({ level }) => level !== 'ok') ? 3 : 0
}

const MARK: Readonly<Record<Finding['level'], string>> = {
  ok: pc.green('ok     '),
  warning: pc.yellow('warning'),
  error: pc.red('error  '),
}
const INDENT = 10

function diagnosisText({ team, checks }: Diagnosis): string {
  const width = terminalWidth()
  const lines = checks.flatMap(({ name, findings }) =>
    findings.flatMap(({ level, found, remedy }) => [
      `${MARK[level]}   ${wrapped(shown(`${name}: ${found}`), width)}`,
      // What can be run as it stands is not broken into lines.
      ...(remedy === null ? [] : remedy.split('\n').map((line) => `${' '.repeat(INDENT)}${pc.dim('→')} ${shown(line)}`)),
    ]),
  )
  return [pc.bold(team), ...lines].join('\n')
}

function wrapped(text: string, width: number): string {
  return wrap(text, width - INDENT, 0).replaceAll('\n', `\n${' '.repeat(INDENT)}`)
}

/** A finding may have words of another team's. */
function shown(text: string): string {
  return text.replace(/\p{Cc}/gu, '\u{fffd}')
}
