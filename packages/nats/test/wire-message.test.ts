import type { Msg } from '@nats-io/transport-node'
import { expect, test } from 'vitest'
import { Places } from '../src/places.ts'
import { decode } from '../src/wire-message.ts'

/** As the library has it: the header lines' bytes before the data, and where they end. */
function received(attributes: Readonly<Record<string, string>>, data = 'x'): Msg {
  const lines = Object.entries(attributes).map(([name, value]) => `${name}: ${value}\r\n`)
  const headers = Buffer.from(`NATS/1.0\r\nComity-Id: i\r\nComity-Key: k\r\n${lines.join('')}\r\n`, 'latin1')
  return { _rdata: Buffer.concat([headers, Buffer.from(data)]), _msg: { hdr: headers.length } } as unknown as Msg
}

test('each message has its own names, whatever the one before it had on the same lines', () => {
  const many = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`x-${n}`, String(n)]))
  for (const attributes of [
    { 'ce-type': 'a: b', 'ce-a': '' },
    { 'ce-typed': '1', 'ce-a': '2' },
    { 'ce-type': '3' },
    {},
    many,
    { 'x-1': '1' },
  ])
    expect(decode(received(attributes), 1, new Date(0)).message).toEqual({ id: 'i', key: 'k', attributes, data: 'x', sentAt: new Date(0) })
})

test('id and key are those of the CloudEvent unless headers say otherwise, and a line without an end is none', () => {
  const of = (headers: string) =>
    decode({ _rdata: Buffer.from(headers), _msg: { hdr: headers.length } } as unknown as Msg, 7, new Date(0)).message
  expect(of('NATS/1.0\r\nce-id: a-1\r\nce-subject: k\r\n\r\n')).toMatchObject({ id: 'a-1', key: 'k' })
  expect(of('NATS/1.0\r\nce-id: a-1\r\nce-subject: %C3%A9\r\nComity-Key: x\r\n\r\n')).toMatchObject({ id: 'a-1', key: 'x' })
  expect(of('NATS/1.0\r\n\r\n')).toMatchObject({ id: 'nats:7', key: '', attributes: {} })
  expect(of('NATS/1.0\r\nce-a: 1\r\nce-b: cut').attributes).toEqual({ 'ce-a': '1' })
})

test.each([
  ['of servers before 2.10', '$JS.ACK.stream.consumer'],
  ['with domain and account', '$JS.ACK.hub.ACCOUNT.stream.consumer'],
])('the place of a message, %s', (_, before) => {
  const after = before.includes('hub') ? '.0.token' : '.0'
  const places = new Places()
  expect(places.of(undefined)).toBeUndefined()
  expect(places.of('_INBOX.x')).toBeUndefined()
  for (const [sequence, count] of [
    [7, 1],
    [12_345, 2],
  ])
    expect(places.of(`${before}.1.${sequence}.${count}.1795651200123456789${after}`)).toEqual({
      sequence,
      count,
      sentAt: new Date(1_795_651_200_123),
    })
})
