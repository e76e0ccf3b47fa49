import { type AddressInfo, connect, createServer } from 'node:net'

/** One line of the protocol and, where it announces one, its payload (headers first). */
export interface Frame {
  readonly line: string
  readonly payload: Buffer
}

export interface Tampering {
  /** Sees each frame that passes; what it answers goes on instead, undefined = the frame is lost. */
  fromClient: (frame: Frame) => Frame | undefined | Promise<Frame | undefined>
  fromServer: (frame: Frame) => Frame | undefined | Promise<Frame | undefined>
}

/** A proxy that understands as much of the protocol as it takes to lose, hold back or change single messages. */
export async function tamperingProxy(port: number): Promise<Tampering & { readonly port: number }> {
  const pass = (frame: Frame): Frame => frame
  const proxy = { port: 0, fromClient: pass, fromServer: pass } as Tampering & { port: number }
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      let rest = Buffer.alloc(0)
      let passing: Promise<void> = Promise.resolve()
      from.setNoDelay(true)
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.on('data', (bytes) => {
        rest = Buffer.concat([rest, bytes])
        for (let frame = take(); frame; frame = take()) {
          const one = frame
          passing = passing.then(async () => {
            const changed = await (from === near ? proxy.fromClient(one) : proxy.fromServer(one))
            if (changed && !to.destroyed) to.write(bytesOf(changed))
          })
        }
      })
      const take = (): Frame | undefined => {
        const end = rest.indexOf('\r\n')
        if (end < 0) return undefined
        const line = rest.toString('latin1', 0, end)
        const size = /^H?(?:PUB|MSG) /i.test(line) ? Number(line.split(' ').at(-1)) : undefined
        const length = end + 2 + (size === undefined ? 0 : size + 2)
        if (rest.length < length) return undefined
        const payload = Buffer.from(rest.subarray(end + 2, end + 2 + (size ?? 0)))
        rest = rest.subarray(length)
        return { line, payload }
      }
    }
  })
  server.unref()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.port = (server.address() as AddressInfo).port
  return proxy
}

function bytesOf({ line, payload }: Frame): Buffer {
  if (!/^H?(?:PUB|MSG) /i.test(line)) return Buffer.from(`${line}\r\n`, 'latin1')
  const words = line.split(' ')
  words[words.length - 1] = String(payload.length)
  return Buffer.concat([Buffer.from(`${words.join(' ')}\r\n`, 'latin1'), payload, Buffer.from('\r\n')])
}

/** Does the frame carry a message of that topic, from its sender? */
export const sends = ({ line }: Frame, topic: string): boolean =>
  line.startsWith('HPUB ') && line.includes(` comity.topic.${topic.replaceAll('.', '_')}.`)
/** The acknowledgement of a batch. */
export const acknowledges = ({ line, payload }: Frame): boolean =>
  line.startsWith('MSG ') && /^\{"stream":"comity-/.test(payload.toString())
/** A message on its way to a receiver. */
export const delivers = ({ line }: Frame): boolean => line.startsWith('HMSG ') && line.includes(' $JS.ACK.')
