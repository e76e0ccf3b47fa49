import type { TeamStatus } from 'comity'
import type { Narrator } from './narrator.ts'
import type { TeamName } from './set-up.ts'

/** What is shown of one team. */
export interface TeamView {
  readonly name: TeamName
  /** undefined: not asked yet. */
  readonly status: TeamStatus | undefined
  /** e.g. `5,000 customers` */
  readonly holds: readonly string[]
  /** undefined: its process does not run. */
  readonly pid: number | undefined
}

/** Team, state, what is to be sent, what is behind, how fresh its copies are, what waits: at most 80 columns. */
export function panelLines(teams: readonly TeamView[], { colour }: Pick<Narrator, 'colour'>): readonly string[] {
  const head = `  ${'team'.padEnd(14)}${'process'.padEnd(9)}${'to send'.padStart(8)}${'behind'.padStart(8)}${'copy'.padStart(9)}${'keys wait'.padStart(11)}`
  return [colour.dim(head), ...teams.flatMap((team) => teamLines(team, colour))]
}

function teamLines({ name, status, holds, pid }: TeamView, colour: Narrator['colour']): readonly string[] {
  const behind = sum(status?.subscriptions.map(({ lag }) => lag ?? 0))
  const waiting = sum(status?.subscriptions.map(({ waitingKeys }) => waitingKeys))
  const process = pid === undefined ? colour.red('killed'.padEnd(9)) : String(pid).padEnd(9)
  const keysWait = count(waiting).padStart(11)
  const line = `  ${colour.bold(name.padEnd(14))}${process}${count(status?.outbox.pending).padStart(8)}${count(behind).padStart(8)}${freshness(status).padStart(9)}`
  return [line + (waiting ? colour.yellow(keysWait) : keysWait), colour.dim(`    ${holds.join(' · ')}`)]
}

/** Of the oldest copy that a team keeps. */
function freshness(status: TeamStatus | undefined): string {
  const seconds = status?.replicas.map(({ freshnessSeconds }) => freshnessSeconds) ?? []
  if (seconds.length === 0) return '-'
  if (seconds.includes(null)) return '?'
  const oldest = Math.max(...(seconds as number[]))
  return oldest === 0 ? 'fresh' : `${oldest.toFixed(1)} s`
}

function count(value: number | undefined): string {
  return value === undefined ? '?' : value.toLocaleString('en')
}

function sum(values: readonly number[] | undefined): number | undefined {
  return values?.reduce((all, value) => all + value, 0)
}
