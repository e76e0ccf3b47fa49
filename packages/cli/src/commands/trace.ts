import { type MessageLife, type SubscriptionLife, trace } from 'comity/admin'
import { Command } from 'commander'
import pc from 'picocolors'
import { printable } from '../cell.ts'
import { type CommonOptions, declare, type ExitCode, withConfig, withJson } from '../command.ts'
import { loadTeams } from '../load-config.ts'

const HELP = `
Looks at every team of the configuration: when the message was written and sent, what became of it in each subscription, and
what handlers published in the transaction of its effect. Contents are not shown.

Exit codes: 0 = told; 1 = error, or nothing is known of it; 3 = it is withheld, or waits somewhere.

Example:
  $ comity trace marketing-28512345678901`

export function traceCommand(finish: (code: ExitCode) => void): Command {
  const command = new Command('trace')
    .description('the life of one message across the teams, as a tree')
    .argument('<message>', 'its id: the team and the version, as in logs and lists')
    .addHelpText('after', HELP)
  return declare(withJson(withConfig(command)), run, finish)
}

async function run(options: CommonOptions, id: string): Promise<ExitCode> {
  const teams = await loadTeams(options)
  try {
    const life = await trace(
      teams.map(({ environment }) => environment),
      id,
    )
    console.log(options.json ? JSON.stringify(life) : lifeLines(life, '').join('\n'))
    return needsSomeone(life) ? 3 : 0
  } finally {
    for (const team of teams) await team.stop()
  }
}

function needsSomeone({ state, subscriptions }: MessageLife): boolean {
  return state === 'withheld' || subscriptions.some(({ outcome, children }) => outcome === 'waiting' || (children ?? []).some(needsSomeone))
}

const OWNER: Readonly<Record<MessageLife['state'], string>> = {
  sent: 'sent',
  pending: pc.yellow('not sent yet'),
  withheld: pc.red('withheld'),
  gone: pc.dim('no longer in the outbox'),
  'not-asked': pc.dim('its owner is not in this configuration'),
}

function lifeLines(life: MessageLife, indent: string): readonly string[] {
  const what =
    life.topic === null
      ? ''
      : `  ${life.topic} ${life.kind} of ${printable(life.key ?? '')}${life.tenant === null ? '' : ` (${printable(life.tenant)})`}`
  const state = [
    ...(life.at === null ? [] : [`written ${life.at}`]),
    OWNER[life.state],
    ...(life.withheld === null
      ? []
      : [`${life.withheld.code}: ${life.withheld.reason}${life.withheld.resolution === null ? '' : `; then ${life.withheld.resolution}`}`]),
  ]
  return [
    `${indent}${pc.bold(life.id)}${what}`,
    `${indent}  ${state.join(', ')}`,
    ...life.subscriptions.flatMap((one) => subscriptionLines(one, `${indent}  `)),
  ]
}

function subscriptionLines(one: SubscriptionLife, indent: string): readonly string[] {
  return [
    `${indent}→ ${one.subscription}: ${outcomeText(one)}${one.children === null ? pc.dim('; what it published can not be told: it has no trace') : ''}`,
    ...(one.children ?? []).flatMap((child) => lifeLines(child, `${indent}    `)),
  ]
}

function outcomeText({ outcome, at, generation, waiting, discarded, replacedBy, replicaVersion }: SubscriptionLife): string {
  const replaced = replacedBy === null ? '' : `, replaced by ${replacedBy}`
  switch (outcome) {
    case 'applied':
      return `${pc.green('applied')} ${at}${generation !== null && generation > 1 ? ` (generation ${generation})` : ''}${replaced}`
    case 'current':
      return `${pc.green('in the copy')}, which has version ${replicaVersion}`
    case 'waiting':
      return `${pc.red('waits')} since ${at}, ${waiting?.position === 1 ? 'at the head of its line' : `number ${waiting?.position} of its line`} (${waiting?.reason})${waiting?.errorCode == null ? '' : `: ${waiting.errorCode} ${waiting.error}`}`
    case 'discarded':
      return `${pc.yellow('ended without its effect')} ${at}${discarded?.author == null ? '' : ` by ${discarded.author}`}: ${discarded?.reason}${replaced}`
    case 'unseen':
      return pc.dim(`not seen${replicaVersion === null ? '' : `; the copy has version ${replicaVersion}`}${replaced}`)
  }
}
