import { randomUUID } from 'node:crypto'
import { team } from 'comity'
import { type Answer, listOperations, operate } from 'comity/admin'
import { adversarialTransport } from 'comity/testing'
import { type MemoryTransport, type Transport, TransportClosed } from 'comity/transport'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { executionOf } from '../../src/admin/operations.ts'
import { commandInbox } from '../../src/control/command-inbox.ts'
import { systemReceiver } from '../../src/control/system-receiver.ts'
import { eventually } from './eventually.ts'
import { type Broker, command, commandMessage, newBroker, newOperated, type Operated } from './operated.ts'

const asked = { author: 'ann@example.com', reason: 'to see whether it is there' }

describe.each(['memory', 'postgres'] as const)('control through %s', (kind) => {
  let broker: Broker
  let on: Operated
  let spy: Transport
  /** Everything that CRM has answered, to whomever. */
  const answers: Answer[] = []
  const spying = new AbortController()

  beforeAll(async () => {
    broker = await newBroker(kind)
    on = await newOperated(broker)
    for (const one of [on.crm, on.platform]) {
      await one.migrate()
      await one.provision()
    }
    spy = broker.connect()
    await spy.provision({ topics: [], subscriptions: [{ name: 'audit.answers', team: 'audit', topic: 'comity.crm.answer' }] })
    void spy.receive(
      'audit.answers',
      async (deliveries) => {
        for (const { message } of deliveries) answers.push(JSON.parse(message.data))
        return deliveries.map(() => 'ack')
      },
      { signal: spying.signal },
    )
  })
  afterAll(async () => {
    spying.abort()
    await on.close()
    await spy.close()
  })
  const answered = (id: string, times = 1): Promise<readonly Answer[]> =>
    eventually(`${times} answers to ${id}`, () => {
      const found = answers.filter((answer) => answer.command === id)
      return found.length >= times ? found : undefined
    })
  const send = (...messages: ReturnType<typeof commandMessage>[]) => spy.send('comity.platform.commands', messages)
  const recorded = async (id: string) => (await listOperations(on.crm.environment)).filter((operation) => operation.id === id)

  test('of a process that ended between its commit and its answer another one finds what was done, and answers that', async () => {
    const one = command()
    const dying = broker.connect()
    let end = (): void => undefined
    const ended = new Promise<never>((_, reject) => {
      end = () => reject(new TransportClosed({ transport: kind }))
    })
    const receiver = systemReceiver({
      subscription: 'crm.comity-platform-commands',
      transport: dying,
      cleared: async (signal) => signal,
      handler: commandInbox({
        ...{ team: 'crm', operator: 'platform', operators: ['platform'], topicNamed: (name) => name },
        execute: async ({ id, kind: what }) =>
          executionOf(
            await operate(on.crm.environment, on.crm.declaration, { id, kind: what, arguments: {}, ...asked, origin: 'command' }),
          ),
        transport: { ...dying, send: () => ended },
      }),
    })
    await receiver.start()
    await send(commandMessage(one))
    const before = await eventually('it is done', async () => (await recorded(one.id))[0])
    expect(answers).toEqual([])
    if ('crash' in dying) (dying as MemoryTransport).crash()
    else await dying.close()
    end()
    await receiver.stop()

    await on.crm.start()
    expect(await answered(one.id)).toMatchObject([{ to: 'platform', outcome: before.outcome, doneAt: before.doneAt }])
    expect(await recorded(one.id)).toEqual([before])
  })

  test('who commands while none of its own processes run is told so, and answered when one does', async () => {
    const id = randomUUID()
    await expect(on.platform.command('crm', { kind: 'ping', id, timeout: '50ms', ...asked })).rejects.toMatchObject({
      code: 'COMITY_COMMAND_UNANSWERED',
      message: expect.stringContaining('stays valid'),
    })
    await answered(id)
    await on.platform.start()
    const arrived = await eventually('the answer', async () => {
      const { rows } = await on.platform.environment.database.query<{ id: string; team: string }>(
        'select command::text as id, team from comity.answers where outcome is not null',
      )
      return rows.find((row) => row.id === id)
    })
    expect(arrived).toEqual({ id, team: 'crm' })
  })

  test('a heartbeat and the declaration of a team arrive; of a team that was never heard that is said', async () => {
    const [crm, marketing] = await eventually('heartbeat and declaration', async () => {
      const teams = await on.platform.teams()
      return teams[0]?.heartbeat && teams[0].declaration ? teams : undefined
    })
    expect(crm).toMatchObject({ team: 'crm', state: 'alive' })
    expect(crm?.age).toBeLessThan(15)
    expect(crm?.heartbeat).toMatchObject({
      v: 1,
      team: 'crm',
      processes: [{ library: expect.stringMatching(/^\d/) }],
      relay: { pending: 0 },
    })
    expect(crm?.declaration).toMatchObject({
      publishes: [{ name: 'crm.noted', kind: 'event', hash: expect.stringMatching(/^[0-9a-f]{16}$/) }],
      operators: ['platform'],
    })
    expect(marketing).toMatchObject({ team: 'marketing', state: 'unheard', heartbeat: null, age: null })
  })

  test('a command is done and answered, and recorded with author, reason and origin', async () => {
    const id = randomUUID()
    const answer = await on.platform.command('crm', { kind: 'ping', id, ...asked })
    expect(answer).toMatchObject({ command: id, team: 'crm', kind: 'ping', outcome: { at: expect.stringMatching(/Z$/) } })
    expect(answer).not.toHaveProperty('error')
    expect(await recorded(id)).toMatchObject([{ kind: 'ping', ...asked, origin: 'command', outcome: answer.outcome, error: null }])
  })

  test('status is what "comity status" shows of that team', async () => {
    const { outcome } = await on.platform.command('crm', { kind: 'status', ...asked })
    expect(outcome).toMatchObject({ team: 'crm', outbox: { topics: ['crm.noted'] }, subscriptions: [] })
  })

  test.each([
    ['an unknown kind', { kind: 'pong', ...asked }, 'COMITY_OPERATION_UNKNOWN', 'did you mean "ping"?'],
    ['arguments that it does not take', { kind: 'ping', arguments: { loud: true }, ...asked }, 'COMITY_OPERATION_ARGUMENTS', 'not allowed'],
    ['no reason', { kind: 'ping', author: 'ann', reason: ' ' }, 'COMITY_OPERATION_UNEXPLAINED', 'no reason'],
  ])('%s is answered with what is wrong', async (_, given, code, message) => {
    const answer = await on.platform.command('crm', given)
    expect(answer).not.toHaveProperty('outcome')
    expect(answer.error).toMatchObject({ code, message: expect.stringContaining(message) })
  })

  test('a team that is not operated is not commanded', async () => {
    await expect(on.platform.command('sales', { kind: 'ping', ...asked })).rejects.toMatchObject({ code: 'COMITY_NOT_OPERATED' })
  })

  test('a command that is delivered three times is done once, and answered alike', async () => {
    const one = command()
    await send(commandMessage(one), commandMessage(one), commandMessage(one))
    const found = await answered(one.id, 3)
    expect(new Set(found.map(({ outcome }) => JSON.stringify(outcome)))).toHaveLength(1)
    expect(await recorded(one.id)).toHaveLength(1)
  })

  test('whoever is no operator is refused and told, and nothing is done', async () => {
    const forged = command()
    await send(commandMessage(forged, { from: 'evil' }))
    expect(await answered(forged.id)).toMatchObject([{ to: 'evil', error: { code: 'COMITY_COMMAND_REFUSED' } }])
    expect(await recorded(forged.id)).toEqual([])
    expect(on.log.filter((line) => line.includes('/teams/evil'))).toHaveLength(1)
    // Its answer is not Platform's, whose command it pretends to be.
    expect((await on.platform.command('crm', { kind: 'ping', id: forged.id, ...asked })).error).toBeUndefined()
  })

  test('a command for another team is not done, and what is none is one line in the log; what follows it is done', async () => {
    const [other, newer, last] = [command({ to: 'marketing' }), command({ v: 2, kind: 7 }), command()]
    const before = on.log.length
    await send(
      commandMessage(other, { to: 'marketing' }),
      commandMessage('{ no JSON', { id: randomUUID() }),
      commandMessage('null', { id: randomUUID() }),
      commandMessage(newer),
      { ...commandMessage(command()), attributes: {} },
      commandMessage({ ...last, addedInVersion2: true }),
    )
    await answered(last.id)
    expect(on.log.length - before).toBe(4)
    expect(answers.filter(({ command: id }) => [other.id, newer.id].includes(id))).toEqual([])
    expect(await recorded(other.id)).toEqual([])
  })

  test('of two processes, one with a broker at its worst, each command is done by one, and all are answered', async () => {
    const transport = adversarialTransport(broker.connect(), { seed: 7 })
    const second = on.crm.with({ ...on.crm.options, transport })
    await second.start()
    const given = await Promise.all(Array.from({ length: 12 }, () => on.platform.command('crm', { kind: 'ping', ...asked })))
    const operations = await listOperations(on.crm.environment, { limit: 12 })
    expect(new Set(operations.map(({ id }) => id))).toEqual(new Set(given.map((answer) => answer.command)))
    for (const { command: id, outcome } of given) expect(operations.find((operation) => operation.id === id)?.outcome).toEqual(outcome)
    await second.stop()
    await transport.close()
  })
})

describe('a team', () => {
  test('keeps everything of control apart by its namespace', async () => {
    const on = await newOperated(await newBroker('memory'), { namespace: 'staging' })
    const steps = await on.platform.provision()
    expect(steps.map(({ name }) => name)).toContain('staging.comity.platform.commands')
    expect(steps.every(({ name }) => name.startsWith('staging.'))).toBe(true)
    await on.crm.start()
    await on.platform.start()
    expect(await on.platform.command('crm', { kind: 'ping', ...asked })).toMatchObject({ outcome: {} })
    await eventually('a heartbeat', async () => (await on.platform.teams())[0]?.heartbeat ?? undefined)
    await on.close()
  })

  test('that was not provisioned for control starts, and says so once; one that misses its own subscriptions says which', async () => {
    const broker = await newBroker('memory')
    const on = await newOperated(broker, { autoMigrate: false })
    await on.crm.migrate()
    await expect(on.crm.start()).rejects.toMatchObject({
      code: 'COMITY_NOT_PROVISIONED',
      message: expect.stringMatching(/crm\.comity-platform-commands.*comity provision/s),
    })
    const alone = team('crm', { ...on.crm.options, operators: [], transport: broker.connect() })
    await alone.start()
    await eventually('a line in the log', () => on.log.find((line) => line.includes('can not be sent')))
    await alone.stop()
    expect(on.log.filter((line) => line.includes('can not be sent'))).toHaveLength(1)
    await on.close()
  })
})
