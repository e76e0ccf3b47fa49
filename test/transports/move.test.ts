/** Three teams move to another broker under load, while processes of theirs are killed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildCli } from '../../packages/cli/test/support/comity.ts'
import { brokerIsHere, launchBroker } from '../../scripts/brokers.mjs'
import { full } from '../support/full.ts'
import { freshDatabase } from '../support/postgres.ts'
import { Agency, recreate } from './agency.ts'

interface Target {
  readonly url: string
  close(): Promise<void>
}
/** Where to, from the embedded transport. */
const targets: Readonly<Record<string, () => Promise<Target>>> = {
  'another Postgres bus': async () => ({ url: (await freshDatabase()).url, close: async () => undefined }),
  nats: () => launchBroker('nats'),
  'google-pubsub': () => launchBroker('google-pubsub'),
}
const BROKERS = ['nats', 'google-pubsub'] as const
beforeAll(buildCli, 180_000)

describe.each(Object.keys(targets))('from a Postgres bus to %s', (name) => {
  const broker = BROKERS.find((each) => each === name)
  const isHere = broker === undefined || brokerIsHere(broker)
  const reason = !isHere ? 'not installed' : !full ? 'left out of the short form' : ''
  const it = reason === '' ? test : test.skip
  let target: Target | undefined
  afterAll(async () => target?.close())

  const and = broker === 'google-pubsub' ? '' : ', and order holds'
  it(`nothing is lost, nothing is handled twice${and}${reason && ` (skipped: ${reason})`}`, async () => {
    target = await (targets[name] as () => Promise<Target>)()
    const to = target.url
    await using agency = await Agency.create()
    const from = (await freshDatabase()).url
    agency.env.COMITY_TRANSPORT = from
    for (const command of ['migrate', 'provision']) expect(await agency.comity(command)).toMatchObject({ code: 0 })
    const first = await agency.run()
    agency.keepWriting()

    expect((await agency.comity('transport', 'move', '--to', to, '--status')).stdout).toMatch(
      /crm: no process of it runs with COMITY_TRANSPORT_TO yet/,
    )
    const moving = agency.start('transport', 'move', '--to', to)
    await moving.line(/analysis: created \d+ topics and subscriptions at the new broker/)
    agency.env.COMITY_TRANSPORT_TO = to
    const second = await agency.run()
    await agency.stop(first)
    // In the middle of it: it leads, and reads what is draining.
    await moving.line(/draining|switched/)
    await agency.stop(second, 'SIGKILL')
    const third = await agency.run()
    const moved = await moving.ended
    expect(moved, moved.stderr).toMatchObject({ code: 0 })
    expect(moved.stdout).toMatch(/analysis\.marketing-email-sent: switched/)

    // Not before the operator has said that it is over.
    const alone = { COMITY_TRANSPORT: to, COMITY_TRANSPORT_TO: '' }
    await expect(agency.run(alone)).rejects.toThrow(/COMITY_MOVE_UNFINISHED/)
    expect(await agency.comity('transport', 'move', '--to', to, '--finish', '--reason', 'all have switched')).toMatchObject({ code: 0 })
    Object.assign(agency.env, alone)
    await agency.run()
    await agency.stop(third)
    // Nothing needs the old one any more.
    await recreate(from, { create: false })
    await agency.write()
    await agency.stopWriting()
    await agency.settled()
    for (const team of ['crm', 'analysis'] as const) {
      // Google's emulator gives what a dead client had after what is queued behind it (docs/transports.md): order can't be shown on it.
      if (broker !== 'google-pubsub') expect(await agency.violations(team)).toEqual([])
      expect(await agency.repetitions(team)).toEqual([])
    }
    await expect(agency.run({ COMITY_TRANSPORT: from })).rejects.toThrow(/COMITY_MOVE_FINISHED/)
  }, 180_000)
})
