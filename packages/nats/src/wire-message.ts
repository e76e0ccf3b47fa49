import type { Msg, MsgHdrs } from '@nats-io/transport-node'
import type { IncomingMessage, OutgoingMessage } from 'comity/transport'

/**
 * On the wire: CloudEvents attributes as headers of their own names, the data as the payload. Headers can carry printable ASCII only, so id, key
 * and attributes that are something else stand as JSON before the data, and `Comity-Prefix` says how many bytes of the payload that is.
 */
export interface WireMessage {
  /** Header lines, without the first and without those of one attempt to send it. */
  readonly lines: string
  readonly payload: Buffer
}

interface Prefix {
  id?: string
  key?: string
  attributes?: Record<string, string>
}

const printable = /^(?:[!-~](?:[ -~]*[!-~])?)?$/
const headerName = /^(?!nats-|comity-)[a-z][a-z0-9-]*$/

/** Names repeat from message to message. */
const knownNames = new Map<string, boolean>()

function fitsHeader(name: string, value: string): boolean {
  let fits = knownNames.get(name)
  if (fits === undefined) {
    fits = headerName.test(name)
    if (knownNames.size < 1000) knownNames.set(name, fits)
  }
  return fits && printable.test(value)
}

export function encode({ id, key, attributes, data }: OutgoingMessage): WireMessage {
  let prefix: Prefix | undefined
  let lines = ''
  if (printable.test(id)) lines += `Comity-Id: ${id}\r\n`
  else prefix = { id }
  if (printable.test(key)) lines += `Comity-Key: ${key}\r\n`
  else prefix = { ...prefix, key }
  for (const name in attributes) {
    const value = attributes[name] as string
    if (fitsHeader(name, value)) {
      lines += `${name}: ${value}\r\n`
      continue
    }
    prefix ??= {}
    prefix.attributes ??= {}
    prefix.attributes[name] = value
  }
  if (prefix === undefined) return { lines, payload: Buffer.from(data) }
  const before = Buffer.from(JSON.stringify(prefix))
  return { lines: `${lines}Comity-Prefix: ${before.length}\r\n`, payload: Buffer.concat([before, Buffer.from(data)]) }
}

export interface ReceivedMessage {
  readonly message: IncomingMessage
  /** Bytes of it, data and attributes together. */
  readonly size: number
}

/** @param sequence names a message that somebody else has put there: it is delivered as it is, for the engine to judge, and never skipped. */
export function decode(received: Msg, sequence: number, sentAt: Date): ReceivedMessage {
  const { headers, payload } = partsOf(received)
  const attributes: Record<string, string> = {}
  let id = `nats:${sequence}`
  let key = ''
  let prefixed = 0
  // The first line is the protocol's.
  for (let at = headers.indexOf('\r\n') + 2; at > 1; ) {
    const end = headers.indexOf('\r\n', at)
    const colon = headers.indexOf(': ', at)
    if (end <= at || colon < 0) break
    const name = headers.slice(at, colon)
    const value = headers.slice(colon + 2, end)
    at = end + 2
    if (name === 'Comity-Id') id = value
    else if (name === 'Comity-Key') key = value
    else if (name === 'Comity-Prefix') prefixed = Number(value)
    else if (fitsHeader(name, '')) attributes[name] = value
  }
  if (prefixed > 0) {
    try {
      const prefix = JSON.parse(payload.toString('utf8', 0, prefixed)) as Prefix
      id = prefix.id ?? id
      key = prefix.key ?? key
      Object.assign(attributes, prefix.attributes)
    } catch {
      prefixed = 0 // nobody of ours wrote that
    }
  }
  return { message: { id, key, attributes, data: payload.toString('utf8', prefixed), sentAt }, size: headers.length + payload.length }
}

/** The library parses headers into a map of arrays, several times slower than needed; it keeps their bytes before the data. */
function partsOf(received: Msg): { readonly headers: string; readonly payload: Buffer } {
  const { _rdata: bytes, _msg: frame } = received as { readonly _rdata?: Uint8Array; readonly _msg?: { readonly hdr?: number } }
  if (bytes instanceof Uint8Array && typeof frame?.hdr === 'number') {
    const length = Math.max(0, frame.hdr)
    const { buffer, byteOffset } = bytes
    return {
      headers: Buffer.from(buffer, byteOffset, length).toString('latin1'),
      payload: Buffer.from(buffer, byteOffset + length, bytes.length - length),
    }
  }
  const lines = [...(received.headers ?? [])].map(([name, values]) => `${name}: ${values[0]}\r\n`)
  return { headers: `NATS/1.0\r\n${lines.join('')}`, payload: Buffer.from(received.data) }
}

/** Header lines that are known to be well-formed, encoded at once: a third of the cost of the library's own. */
export function rawHeaders(lines: string): MsgHdrs {
  return { encode: () => Buffer.from(`NATS/1.0\r\n${lines}\r\n`, 'latin1') } as unknown as MsgHdrs
}
