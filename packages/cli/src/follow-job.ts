import { setTimeout as delay } from 'node:timers/promises'
import type { Team } from 'comity'
import { type Job, jobOf, listSubscriptions } from 'comity/admin'
import pc from 'picocolors'
import type { ExitCode } from './command.ts'

/** So long a job may wait for somebody who works on it, in milliseconds; and where no process of the team lives. */
const PATIENCE = 20_000
const PATIENCE_ALONE = 2000

export interface Followed {
  readonly job: Job
  readonly code: ExitCode
}

/**
 * Looks at a job until it has ended, and shows how far it is, on a terminal in one line that changes. 0 = done, and nothing failed;
 * 2 = no process works on it; 3 = some failed again, or it was stopped or cancelled.
 */
export async function followJob(team: Team, id: string, { quiet }: { readonly quiet: boolean }): Promise<Followed> {
  const rewrite = process.stdout.isTTY && !quiet
  const since = performance.now()
  let shown = ''
  for (;;) {
    const job = await jobOf(team.environment, id)
    const line = jobText(job)
    if (rewrite) process.stdout.write(`\r\x1b[K${line}`)
    else if (!quiet && stageOf(line) !== stageOf(shown)) console.log(line)
    shown = line
    const waited = performance.now() - since
    const abandoned = job.state === 'waiting' && (waited > PATIENCE || (waited > PATIENCE_ALONE && !(await isRunning(team))))
    if (hasEnded(job) || abandoned) {
      if (rewrite) process.stdout.write('\n')
      if (abandoned && !quiet)
        console.log(pc.yellow(`nobody works on it: is "comity run" of ${team.name} running? See: comity jobs show ${id}`))
      return { job, code: abandoned ? 2 : codeOf(job) }
    }
    await delay(200)
  }
}

async function isRunning({ declaration, environment }: Team): Promise<boolean> {
  return (await listSubscriptions(declaration, environment)).some(({ processes }) => processes.length > 0)
}

function hasEnded({ state }: Job): boolean {
  return state !== 'waiting' && state !== 'running'
}

export function codeOf({ state, failed }: Job): ExitCode {
  if (state === 'waiting' || state === 'running') return 2
  return state === 'done' && failed === 0 ? 0 : 3
}

/** `running: 12 of 500 lines, 1 failed again, 30 messages ended` */
export function jobText({ state, done, lines, failed, endedMessages, outcome }: Job): string {
  const paint = state === 'done' ? pc.green : state === 'stopped' || state === 'cancelled' ? pc.red : pc.yellow
  const parts = [
    `${done} of ${lines} lines`,
    ...(failed > 0 ? [pc.red(`${failed} failed again`)] : []),
    `${endedMessages} messages ended`,
    ...(outcome === null ? [] : [outcome]),
  ]
  return `${paint(state)}: ${parts.join(', ')}`
}

/** Into a pipe: a line for each state, not for each look. */
function stageOf(line: string): string {
  return line.split(':', 1)[0] as string
}
