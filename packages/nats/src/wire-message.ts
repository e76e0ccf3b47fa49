import type { Msg, MsgHdrs } from '@nats-io/transport-node'
import type { IncomingMessage, OutgoingMessage } from 'comity/transport'

/**
 * On the wire: CloudEvents attributes as headers of their own names, the data as the payload. The message's id and key are those of the CloudEvent
 * unless headers say otherwise. Headers can carry printable ASCII only, so id, key and attributes that are something else stand as JSON before the
 * data, and `Comity-Prefix` says how many bytes of the payload that is.
 */
export interface WireMessage {
  /** Header lines, without the first and without those of one attempt to send it. */
  readonly lines: string
  readonly payload: string
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

function isName(name: string): boolean {
  let is = knownNames.get(name)
  if (is === undefined) {
    is = headerName.test(name)
    if (knownNames.size < 1000) knownNames.set(name, is)
  }
  return is
}

export function encode({ id, key, attributes, data }: OutgoingMessage): WireMessage {
  let prefix: Prefix | undefined
  let lines = ''
  if (attributes['ce-id'] !== id) {
    if (printable.test(id)) lines += `Comity-Id: ${id}\r\n`
    else prefix = { id }
  }
  if (attributes['ce-subject'] !== key) {
    if (printable.test(key)) lines += `Comity-Key: ${key}\r\n`
    else prefix = { ...prefix, key }
  }
  for (const name in attributes) {
    const value = attributes[name] as string
    if (isName(name) && printable.test(value)) {
      lines += `${name}: ${value}\r\n`
      continue
    }
    prefix ??= {}
    prefix.attributes ??= {}
    prefix.attributes[name] = value
  }
  if (prefix === undefined) return { lines, payload: data }
  const before = JSON.stringify(prefix)
  return { lines: `${lines}Comity-Prefix: ${Buffer.byteLength(before)}\r\n`, payload: before + data }
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
  let id: string | undefined
  let key: string | undefined
  let prefixed = 0
  // The first line is the protocol's.
  for (let at = headers.indexOf('\r\n') + 2, line = 0; at > 1; line++) {
    const end = headers.indexOf('\r\n', at)
    const name = nameAt(headers, at, line)
    if (end <= at || name === undefined) break
    const value = headers.slice(at + name.length + 2, end)
    at = end + 2
    if (name === 'Comity-Id') id = value
    else if (name === 'Comity-Key') key = value
    else if (name === 'Comity-Prefix') prefixed = Number(value)
    else if (isName(name)) attributes[name] = value
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
  id ??= attributes['ce-id'] ?? `nats:${sequence}`
  key ??= attributes['ce-subject'] ?? ''
  return { message: { id, key, attributes, data: payload.toString('utf8', prefixed), sentAt }, size: headers.length + payload.length }
}

/** The names of the last message's lines: those of the next are nearly always the same, and need not be cut out and looked up again. */
const usualNames: string[] = []

/** Undefined if it is no header. */
function nameAt(headers: string, at: number, line: number): string | undefined {
  const usual = usualNames[line]
  if (usual !== undefined && headers.startsWith(usual, at) && headers.startsWith(': ', at + usual.length)) return usual
  const colon = headers.indexOf(': ', at)
  if (colon < 0) return undefined
  const name = headers.slice(at, colon)
  if (line < MOST_USUAL) usualNames[line] = name
  return name
}
const MOST_USUAL = 100

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
