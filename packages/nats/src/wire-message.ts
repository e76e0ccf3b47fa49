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
  const { headers, size, payload } = partsOf(received)
  const values = readLines(headers)
  const { names, carries } = usual
  const attributes = { ...usual.attributes }
  let id: string | undefined
  let key: string | undefined
  let prefixed = 0
  for (let line = 0; line < values.length; line++) {
    const name = names[line] as string
    const value = values[line] as string
    if (carries[line]) attributes[name] = value
    else if (name === 'Comity-Id') id = value
    else if (name === 'Comity-Key') key = value
    else if (name === 'Comity-Prefix') prefixed = Number(value)
  }
  if (prefixed > 0) {
    try {
      const prefix = JSON.parse(payload(0, prefixed)) as Prefix
      id = prefix.id ?? id
      key = prefix.key ?? key
      Object.assign(attributes, prefix.attributes)
    } catch {
      prefixed = 0 // nobody of ours wrote that
    }
  }
  id ??= attributes['ce-id'] ?? `nats:${sequence}`
  key ??= attributes['ce-subject'] ?? ''
  return { message: { id, key, attributes, data: payload(prefixed), sentAt }, size }
}

/**
 * The names of the last message's lines. Those of the next are nearly always the same, and need not be cut out and looked up again; and a copy of an
 * object that has them all is made much faster than one to which they are added one by one.
 */
interface Shape {
  readonly names: readonly string[]
  /** Whether the line of this number is an attribute. */
  readonly carries: readonly boolean[]
  readonly attributes: Readonly<Record<string, string>>
}
let usual: Shape = { names: [], carries: [], attributes: {} }

/** The values of the lines behind the first, which is the protocol's. Afterwards `usual` has their names. */
function readLines(headers: string): readonly string[] {
  const values: string[] = []
  let others: string[] | undefined
  for (let at = headers.indexOf('\r\n') + 2; at > 1 && !headers.startsWith('\r\n', at); ) {
    const guess = others === undefined ? usual.names[values.length] : undefined
    const isGuess = guess !== undefined && headers.startsWith(guess, at) && headers.startsWith(': ', at + guess.length)
    const colon = isGuess ? at + guess.length : headers.indexOf(': ', at)
    const end = headers.indexOf('\r\n', colon)
    if (colon < 0 || end < 0) break
    if (!isGuess) {
      others ??= usual.names.slice(0, values.length)
      others.push(headers.slice(at, colon))
    }
    values.push(headers.slice(colon + 2, end))
    at = end + 2
  }
  if (others !== undefined || values.length < usual.names.length) usual = shapeOf(others ?? usual.names.slice(0, values.length))
  return values
}

function shapeOf(names: readonly string[]): Shape {
  const carries = names.map(isName)
  return { names, carries, attributes: Object.fromEntries(names.filter((_, line) => carries[line]).map((name) => [name, ''])) }
}

/** The library parses headers into a map of arrays, several times slower than needed; it keeps their bytes before the data. */
function partsOf(received: Msg): Parts {
  const { _rdata: bytes, _msg: frame } = received as { readonly _rdata?: Uint8Array; readonly _msg?: { readonly hdr?: number } }
  if (bytes instanceof Uint8Array && typeof frame?.hdr === 'number') {
    const all = viewOf(bytes.buffer)
    const from = bytes.byteOffset
    const middle = from + Math.max(0, frame.hdr)
    const to = from + bytes.length
    return {
      headers: all.toString('latin1', from, middle),
      size: to - from,
      payload: (skip, end = to - middle) => all.toString('utf8', middle + skip, middle + end),
    }
  }
  const lines = [...(received.headers ?? [])].map(([name, values]) => `${name}: ${values[0]}\r\n`)
  const headers = `NATS/1.0\r\n${lines.join('')}`
  const data = Buffer.from(received.data)
  return { headers, size: headers.length + data.length, payload: (skip, end) => data.toString('utf8', skip, end) }
}

interface Parts {
  readonly headers: string
  /** Bytes of all. */
  readonly size: number
  /** The payload's bytes from `skip` to `end` as text. */
  readonly payload: (skip: number, end?: number) => string
}

/** What one read of the socket brought is one piece of memory, with many messages in it. */
let view: Buffer = Buffer.alloc(0)
function viewOf(memory: ArrayBufferLike): Buffer {
  if (view.buffer !== memory) view = Buffer.from(memory)
  return view
}

/** Header lines that are known to be well-formed, encoded at once: a third of the cost of the library's own. */
export function rawHeaders(lines: string): MsgHdrs {
  return { encode: () => Buffer.from(`NATS/1.0\r\n${lines}\r\n`, 'latin1') } as unknown as MsgHdrs
}
