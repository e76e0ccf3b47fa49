import { randomUUID } from 'node:crypto'
import type { Team } from 'comity'
import { type Job, jobOf, operate } from 'comity/admin'
import { until } from '../../../../test/chaos/until.ts'

/** Has one operation done, and answers its outcome; throws its error. */
export async function act<Outcome = Record<string, unknown>>(team: Team<never>, kind: string, args: object = {}): Promise<Outcome> {
  const { outcome, error } = await operate(team.environment as never, team.declaration, {
    ...{ id: randomUUID(), kind, arguments: args as never, author: 'ada', reason: 'a test', origin: 'cli' },
  })
  if (error !== null) throw Object.assign(new Error(error.message), { code: error.code })
  return outcome as Outcome
}

/** Begins a job, and waits for its end. */
export async function done(team: Team<never>, kind: string, args: object = {}): Promise<Job> {
  const { job } = await act<{ job: string }>(team, kind, args)
  return until(`the ${kind} has ended`, async () => {
    const found = await jobOf(team.environment as never, job)
    return found.state !== 'waiting' && found.state !== 'running' && found
  })
}
