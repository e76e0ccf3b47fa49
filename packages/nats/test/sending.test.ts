import { connect } from '@nats-io/transport-node'
import { expect, test, vi } from 'vitest'
import { client, messages, receiving, topicOn } from './clients.ts'
import { onNats } from './nats-server.ts'
import { acknowledges, type Frame, sends, tamperingProxy } from './tampering-proxy.ts'

const stored = { status: 'stored' }
const ids = (sent: readonly { readonly id: string }[]): string[] => sent.map(({ id }) => id)

onNats('sending', (server) => {
  test('a message lost on the way stops its batch; the rest is sent again from there, in order and once', async () => {
    const proxy = await tamperingProxy(server().port)
    const transport = client(proxy.port)
    const { topic, subscription } = await topicOn(transport)
    let passed = 0
    proxy.fromClient = (frame) => (sends(frame, topic) && ++passed === 4 ? undefined : frame)
    const sent = messages(10)
    expect(await transport.send(topic, sent)).toEqual(sent.map(() => stored))
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen).toEqual(ids(sent)), 60_000)
    expect(passed).toBe(10 + 7)
  })

  test("the broker's word that it has seen a message is not taken for the message", async () => {
    const raw = await connect({ servers: `127.0.0.1:${server().port}` })
    const proxy = await tamperingProxy(server().port)
    const transport = client(proxy.port)
    const { topic, subscription } = await topicOn(transport)
    const stream = `comity-${topic.replace('.', '_')}`
    const { config } = (await raw.request(`$JS.API.STREAM.INFO.${stream}`)).json<{ config: object }>()
    await raw.request(`$JS.API.STREAM.UPDATE.${stream}`, JSON.stringify({ ...config, duplicate_window: 120e9 }))
    const planted = { encode: () => Buffer.from('NATS/1.0\r\nNats-Msg-Id: planted\r\n\r\n') } as never
    await raw.request(`comity.topic.${topic.replace('.', '_')}.0`, '{}', { headers: planted, timeout: 1000 })

    // Of the first attempt nothing arrives but the last message, under an id that the server has seen: it says so, as of the right place.
    let attempts = 0
    proxy.fromClient = (frame) => {
      if (!sends(frame, topic) || attempts > 0) return frame
      if (!/ _INBOX\./.test(frame.line)) return undefined
      attempts++
      return underPlantedId(frame)
    }
    let duplicates = 0
    proxy.fromServer = (frame) => {
      if (!acknowledges(frame) || !frame.payload.includes('duplicate')) return frame
      duplicates++
      return { ...frame, payload: Buffer.from(JSON.stringify({ stream, seq: 1 + 5, duplicate: true })) }
    }
    const sent = messages(5)
    expect(await transport.send(topic, sent)).toEqual(sent.map(() => stored))
    expect(duplicates).toBe(1)
    const seen = receiving(transport, subscription)
    await vi.waitFor(() => expect(seen.filter((id) => id.startsWith('m'))).toEqual(ids(sent)), 60_000)
    await raw.close()
  })

  test('acknowledgements lost: nothing is called stored that is not, nothing is lost, first deliveries keep the order', async () => {
    const proxy = await tamperingProxy(server().port)
    const transport = client(proxy.port, { answerTimeout: 100 })
    const { topic, subscription } = await topicOn(client(server().port))
    let acknowledged = 0
    proxy.fromServer = (frame) => (acknowledges(frame) && ++acknowledged % 3 === 0 ? undefined : frame)
    const batches = Array.from({ length: 12 }, () => messages(20, (n) => `k${n % 3}`))
    let failures = 0
    for (const batch of batches) {
      for (;;) {
        try {
          expect(await transport.send(topic, batch)).toEqual(batch.map(() => stored))
          break
        } catch (error) {
          expect(error).toMatchObject({ code: 'COMITY_TRANSPORT_UNAVAILABLE' })
          failures++
        }
      }
    }
    expect(failures).toBeGreaterThan(2)
    const seen = receiving(client(server().port), subscription)
    await vi.waitFor(() => expect(new Set(seen).size).toBe(12 * 20), 60_000)
    const all = batches.flat()
    for (const key of ['k0', 'k1', 'k2']) {
      const own = new Set(all.filter((message) => message.key === key).map(({ id }) => id))
      expect([...new Set(seen.filter((id) => own.has(id)))]).toEqual([...own])
    }
  })

  test("a zombie's batch that was on its way when a newer term sent is not stored, not even a part", async () => {
    const proxy = await tamperingProxy(server().port)
    const zombie = client(proxy.port)
    const heir = client(server().port)
    const { topic, subscription } = await topicOn(heir, 'zombies')
    const fence = (term: number) => ({ fence: { team: 'zombies', incarnation: 1, term, holder: `p${term}` } })
    const first = messages(3)
    expect(await zombie.send(topic, first, fence(1))).toEqual(first.map(() => stored))
    let release: () => void = () => undefined
    let held: () => void = () => undefined
    const isHeld = new Promise<void>((resolve) => {
      held = resolve
    })
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    proxy.fromClient = async (frame) => {
      if (sends(frame, topic)) {
        held()
        await released
      }
      return frame
    }
    const late = messages(50)
    const sending = zombie.send(topic, late, fence(1))
    await isHeld
    const newer = messages(3)
    expect(await heir.send(topic, newer, fence(2))).toEqual(newer.map(() => stored))
    release()
    expect(await sending).toEqual(late.map(() => ({ status: 'stale' })))
    const seen = receiving(heir, subscription)
    const last = messages(1)
    await heir.send(topic, last, fence(2))
    await vi.waitFor(() => expect(seen).toContain(last[0]?.id), 60_000)
    expect(seen).toEqual(ids([...first, ...newer, ...last]))
  })
})

function underPlantedId({ line, payload }: Frame): Frame {
  const [, subject, reply, length] = line.split(' ')
  const headers = Buffer.from('NATS/1.0\r\nNats-Msg-Id: planted\r\n\r\n')
  const data = payload.subarray(Number(length))
  return { line: `HPUB ${subject} ${reply} ${headers.length} 0`, payload: Buffer.concat([headers, data]) }
}
