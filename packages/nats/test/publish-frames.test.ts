import { expect, test } from 'vitest'
import { framesOf } from '../src/publish-frames.ts'

/** What a server reads. Source: the client protocol of NATS, HPUB. */
function read(bytes: Buffer): { subject: string; headers: string; payload: string }[] {
  const found = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n', at)
    const [verb, subject, headers, total] = bytes.toString('latin1', at, end).split(' ')
    const [from, middle, to] = [end + 2, end + 2 + Number(headers), end + 2 + Number(total)]
    expect([verb, bytes.toString('latin1', to, to + 2)]).toEqual(['HPUB', '\r\n'])
    found.push({
      subject: subject as string,
      headers: bytes.toString('latin1', from, middle),
      payload: bytes.toString('utf8', middle, to),
    })
    at = to + 2
  }
  return found
}

test('many publishes in few pieces, each whole in one of them: short and long, empty and beyond ASCII', () => {
  const payloads = [
    '',
    '{"name":"Zoë 日本"}',
    'x'.repeat(100_000),
    'é'.repeat(300_000),
    ...Array.from({ length: 2000 }, (_, n) => `${n}`.repeat(50)),
  ]
  const publishes = payloads.map((payload, n) => ({ subject: `s.${n}`, lines: `Nats-Msg-Id: a.${n}\r\n`, payload }))
  const pieces = [...framesOf(publishes)].map((piece) => Buffer.from(piece))
  expect(pieces.length).toBeLessThan(8)
  expect(pieces.flatMap(read)).toEqual(
    publishes.map(({ subject, lines, payload }) => ({ subject, headers: `NATS/1.0\r\n${lines}\r\n`, payload })),
  )
  expect([...framesOf([])]).toEqual([])
})
