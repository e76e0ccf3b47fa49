import { setTimeout as delay } from 'node:timers/promises'
import type { Team, TeamStatus } from 'comity'
import type { Logger } from 'pino'

/** Between two looks, in milliseconds. */
const EVERY = 1000

/** Says in a line each what has arrived, waits or is withheld, until the signal aborts. */
export async function reportHappenings(team: Team, log: Logger, signal: AbortSignal): Promise<void> {
  let before: TeamStatus | undefined
  while (!signal.aborted) {
    const now = await team.status()
    if (before !== undefined) for (const { bad, text } of happenings(before, now)) log[bad ? 'warn' : 'info'](text)
    before = now
    await delay(EVERY, undefined, { signal }).catch(() => undefined)
  }
}

function happenings(before: TeamStatus, now: TeamStatus): readonly { readonly bad: boolean; readonly text: string }[] {
  const found: { bad: boolean; text: string }[] = []
  const say = (more: number, text: string, bad: boolean): void => {
    if (more > 0) found.push({ bad, text: text.replace('{n}', String(more)) })
  }
  for (const subscription of now.subscriptions) {
    const { name, ended } = subscription
    const old = before.subscriptions.find((other) => other.name === name)
    if (old === undefined) continue
    say(ended.applied - old.ended.applied, `{n} applied by ${name}`, false)
    say(subscription.waiting - old.waiting, `{n} more wait in ${name}: see what its handler logs`, true)
    say(old.waiting - subscription.waiting, `{n} fewer wait in ${name}`, false)
  }
  say(now.outbox.withheld - before.outbox.withheld, '{n} changes are withheld: they break their contract', true)
  return found
}
