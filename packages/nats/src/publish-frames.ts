/** One publish: what the protocol wants of it, and nothing that is looked up again. */
export interface Publish {
  readonly subject: string
  /** Header lines, each with its end, without the first. ASCII. */
  readonly lines: string
  readonly payload: string
}

/** Bytes of a chunk: large enough that a batch needs few writes to the socket. */
const CHUNK = 256 * 1024
const FIRST_LINE = 'NATS/1.0\r\n'

/**
 * Publishes as they go over the connection, many in one piece of memory: to encode each by itself, as the library does, costs more than all else
 * that is done to send it. Source: the client protocol of NATS, HPUB.
 */
export function* framesOf(publishes: Iterable<Publish>): Iterable<Uint8Array> {
  let chunk = Buffer.allocUnsafeSlow(CHUNK)
  let at = 0
  for (const { subject, lines, payload } of publishes) {
    const headers = FIRST_LINE.length + lines.length + 2
    const size = Buffer.byteLength(payload)
    const head = `HPUB ${subject} ${headers} ${headers + size}\r\n${FIRST_LINE}${lines}\r\n`
    const needed = head.length + size + 2
    if (at + needed > chunk.length) {
      if (at > 0) yield chunk.subarray(0, at)
      chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK, needed))
      at = 0
    }
    at += chunk.write(head, at, 'latin1')
    at += chunk.write(payload, at, 'utf8')
    at += chunk.write('\r\n', at, 'latin1')
  }
  if (at > 0) yield chunk.subarray(0, at)
}
