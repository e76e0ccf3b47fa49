/** Three teams move to another broker under load, while processes of theirs are killed. */
import { openTransport } from 'comity/transport'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildCli, type Started } from '../../packages/cli/test/support/comity.ts'
import { brokerIsHere, launchBroker } from '../../scripts/brokers.mjs'
import { freshDatabase } from '../support/postgres.ts'
import { Agency, recreate, TEAMS, type TeamName } from './agency.ts'

interface Target {
  readonly url: string
  close(): Promise<void>
}
/** Where to, from the embedded transport. A broker joins when its package opens it and its program is here. */
const targets: Readonly<Record<string, () => Promise<Target>>> = {
  'another Postgres bus': async () => ({ url: (await freshDatabase()).url, close: async () => undefined }),
  nats: () => launchBroker('nats'),
}
const isOpened = (url: string): boolean => {
  try {
    void openTransport(url).close()
    return true
  } catch {
    return false
  }
}

beforeAll(buildCli, 180_000)

describe.each(Object.keys(targets))('from a Postgres bus to %s', (name) => {
  const reason =
    name === 'nats' && !isOpened('nats://127.0.0.1:1')
      ? 'its package opens nothing yet'
      : name === 'nats' && !brokerIsHere('nats')
        ? 'not installed'
        : ''
  const it = reason === '' ? test : test.skip
  let target: Target | undefined
  afterAll(async () => target?.close())

  it(`nothing is lost, nothing is handled twice, and order holds${reason && ` (skipped: ${reason})`}`, async () => {
    target = await (targets[name] as () => Promise<Target>)()
    const to = target.url
    await using agency = await Agency.create()
    const from = (await freshDatabase()).url
    agency.env.COMITY_TRANSPORT = from
    for (const command of ['migrate', 'provision']) expect(await agency.comity(command)).toMatchObject({ code: 0 })
    const running = new Map<TeamName, Started>()
    const t0 = performance.now()
    const dbg = (what: string) => console.error(Math.round(performance.now() - t0), what)
    const restart = async (team: TeamName, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
      const before = running.get(team)
      // Killed: nobody is there for a while. Restarted: the next one comes first.
      if (signal === 'SIGKILL' && before !== undefined) await agency.stop(before, signal)
      running.set(team, await agency.run(team))
      if (signal !== 'SIGKILL' && before !== undefined) await agency.stop(before, signal)
    }
    for (const team of TEAMS) await restart(team)
    dbg('all run')
    agency.keepWriting()

    expect((await agency.comity('transport', 'move', '--to', to, '--status')).stdout).toMatch(
      /crm: no process of it runs with COMITY_TRANSPORT_TO yet/,
    )
    const moving = agency.start('transport', 'move', '--to', to)
    await moving.line(/analysis: created \d+ topics and subscriptions at the new broker/)
    dbg('provisioned')
    agency.env.COMITY_TRANSPORT_TO = to
    for (const team of TEAMS) await restart(team)
    dbg('rolled')
    // In the middle of it, wherever that is.
    for (const team of ['analysis', 'marketing', 'crm'] as const) await restart(team, 'SIGKILL')
    dbg('killed')
    const moved = await Promise.race([
      moving.ended,
      new Promise<never>((_, reject) =>
        setTimeout(() => {
          console.error(moving.lines.join('\n'))
          for (const p of agency.processes) console.error(p.lines.slice(-12).join('\n'))
          reject(new Error('x'))
        }, 25000),
      ),
    ])
    dbg('moved')
    expect(moved, moved.stderr).toMatchObject({ code: 0 })
    expect(moved.stdout).toMatch(/analysis\.marketing-email-sent: switched/)

    // Not before the operator has said that it is over.
    const [switched] = [{ COMITY_TRANSPORT: to, COMITY_TRANSPORT_TO: '' }]
    const early = agency.run('crm', switched)
    await expect(early).rejects.toThrow(/COMITY_MOVE_UNFINISHED/)
    expect(await agency.comity('transport', 'move', '--to', to, '--finish', '--reason', 'all have switched')).toMatchObject({ code: 0 })
    Object.assign(agency.env, switched)
    for (const team of TEAMS) await restart(team)
    dbg('rolled over')
    // Nothing needs the old one any more.
    await recreate(from, { create: false })
    await agency.write()
    await agency.stopWriting()
    await agency.settled()
    for (const team of ['crm', 'analysis'] as const) expect(await agency.violations(team)).toEqual([])
    await expect(agency.run('crm', { COMITY_TRANSPORT: from })).rejects.toThrow(/COMITY_MOVE_FINISHED/)
  }, 120_000)
})
