import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A TCP proxy whose far side can be taken away, as a network or a kill -9 would. */
export interface TcpProxy {
  readonly port: number
  /** Every connection is reset, and new ones are refused. */
  cut(): Promise<void>
  /** Connections stay open and nothing passes any more: half-open, as seen from both sides. */
  freeze(): void
  /** After a freeze: what is there is reset, and new connections pass again. */
  heal(): void
}

/** @param answer what the proxy itself says to a client's first bytes, instead of passing them on; undefined = it passes them on. */
export async function tcpProxy(
  target: { readonly host: string; readonly port: number },
  answer: (firstBytes: Buffer) => Buffer | undefined = () => undefined,
): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let frozen = false
  const server = createServer((near) => {
    const far = connect(target)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    let first = true
    near.on('data', (bytes) => {
      const own = first ? answer(bytes) : undefined
      first = false
      if (own) near.end(own)
      else if (!frozen) far.write(bytes)
    })
    far.on('data', (bytes) => !frozen && near.write(bytes))
  })
  server.unref()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const reset = (): void => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        reset()
      }),
    freeze() {
      frozen = true
    },
    heal() {
      frozen = false
      reset()
    },
  }
}
