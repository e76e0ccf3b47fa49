import { type ShownLine, showDeadLetter } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { printable } from '../../cell.ts'
import { withTeam } from '../../choose-team.ts'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../../command.ts'

interface ShowOptions extends CommonOptions {
  readonly data?: boolean
}

const HELP = `
Exit codes: 0 = shown; 1 = error, or nothing of that key waits.

Example:
  $ comity dead-letters show crm.marketing-email-sent customer-17 --data`

export function showCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('show')
    .description('one dead letter: why it failed, its attributes, what waits behind it, what was edited and discarded')
    .argument('<subscription>', 'e.g. crm.marketing-email-sent')
    .argument('<key>', 'of the message')
    .option('--data', 'its content too: it belongs to somebody')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

function run(options: ShowOptions, subscription: string, key: string): Promise<ExitCode> {
  return withTeam(options, { command: 'dead-letters show', subscription }, async ({ environment }) => {
    const line = await showDeadLetter(environment, { subscription, key }, { data: options.data === true })
    console.log(options.json ? JSON.stringify(line) : lineText(line))
    return 0
  })
}

function lineText(line: ShownLine): string {
  const { head, followers, edits, discards } = line
  const facts: readonly (readonly [string, string | null])[] = [
    ['message', head.message],
    ['version', head.version === null ? null : String(head.version)],
    ['tenant', line.tenant],
    ['waits for', line.reason],
    ['failed', `${line.failures} times, last ${line.triedAt}`],
    ['error', line.errorCode === null ? null : `${line.errorName} ${line.errorCode}: ${line.error}`],
    ['where', line.frame],
    ['group', line.fingerprint],
    ['waits since', line.since],
    ['edited from', head.editedFrom],
  ]
  const shown = facts
    .filter(([, value]) => value !== null && value !== '')
    .map(([name, value]) => `  ${name.padEnd(12)} ${printable(value as string)}`)
  const attributes = Object.entries(head.attributes).map(([name, value]) => `  ${name}: ${printable(value)}`)
  return [
    `${pc.bold(line.subscription)} ${printable(line.key)}`,
    ...shown,
    ...section('Attributes', attributes),
    ...section('Data', head.data === undefined ? [] : [`  ${head.data}`]),
    ...section(
      `Behind it (${line.behind})`,
      followers.map(({ message, time }) => `  ${message}  ${time}`),
    ),
    ...section(
      'Edited',
      edits.map(({ message, replacedBy, author, reason, at }) => `  ${message} → ${replacedBy}, by ${author} at ${at}: ${reason}`),
    ),
    ...section(
      'Discarded',
      discards.map(({ message, author, reason, at }) => `  ${message}, ${author === null ? '' : `by ${author} `}at ${at}: ${reason}`),
    ),
  ].join('\n')
}

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines]
}
