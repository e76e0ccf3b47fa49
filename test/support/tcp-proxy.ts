import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** What a proxied connection suffers. `through` says in which direction: `up` = to the server. */
export type Disturbance =
  | { readonly kind: 'none' }
  /** Each chunk arrives this much later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** New connections are refused, open ones are reset. */
  | { readonly kind: 'reset' }
  /** Half-open: nothing arrives any more, in neither direction, and nobody is told. */
  | { readonly kind: 'black-hole' }
  /** The requests arrive, the answers do not. */
  | { readonly kind: 'drop-replies' }
  /** Now and then an answer is lost: one chunk in so many does not arrive, and its connection is cut; what it answered is done. */
  | { readonly kind: 'lose-replies'; readonly oneIn: number }
  /** The connection is cut when so many bytes have gone up. */
  | { readonly kind: 'cut'; readonly afterBytes: number }

/** A TCP proxy between two parts, whose disturbance can be changed while connections are open. */
export class TcpProxy {
  readonly #server: Server
  readonly #target: { readonly host: string; readonly port: number }
  readonly #pairs = new Set<Pair>()
  #disturbance: Disturbance = { kind: 'none' }
  #replies = 0
  /** Connections that were cut instead of an answer. */
  repliesLost = 0
  /** Connections ever accepted. */
  accepted = 0

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server
    this.#target = target
  }

  static start(targetUrl: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(targetUrl)
    return TcpProxy.to({ host: hostname, port: Number(port || 5432) })
  }

  static async to(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: true })
    const proxy = new TcpProxy(server, target)
    server.on('connection', (socket) => proxy.#connected(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  /** The same URL, through this proxy. */
  through(url: string): string {
    const proxied = new URL(url)
    proxied.hostname = '127.0.0.1'
    proxied.port = String(this.port)
    return proxied.href
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get open(): number {
    return this.#pairs.size
  }

  /** From now on; `reset` also ends what is open. */
  disturb(disturbance: Disturbance): void {
    this.#disturbance = disturbance
    for (const pair of this.#pairs) pair.disturbed(disturbance)
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) pair.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  /** Counted over all connections: so many of each would never be seen by those that are cut before. */
  #losesReply(oneIn: number): boolean {
    const lost = ++this.#replies % oneIn === 0
    if (lost) this.repliesLost++
    return lost
  }

  #connected(client: Socket): void {
    this.accepted++
    if (this.#disturbance.kind === 'reset') {
      client.resetAndDestroy()
      return
    }
    const pair = new Pair(
      client,
      connect(this.#target),
      () => this.#disturbance,
      (oneIn) => this.#losesReply(oneIn),
    )
    this.#pairs.add(pair)
    pair.onClose = () => this.#pairs.delete(pair)
  }
}

class Pair {
  onClose: () => void = () => undefined
  readonly #client: Socket
  readonly #server: Socket
  readonly #disturbance: () => Disturbance
  readonly #losesReply: (oneIn: number) => boolean
  #sentUp = 0

  /** @param losesReply asked for each chunk that comes down */
  constructor(client: Socket, server: Socket, disturbance: () => Disturbance, losesReply: (oneIn: number) => boolean) {
    this.#losesReply = losesReply
    this.#client = client
    this.#server = server
    this.#disturbance = disturbance
    for (const [from, to, up] of [
      [client, server, true],
      [server, client, false],
    ] as const) {
      from.on('error', () => this.destroy())
      from.on('close', () => this.#closed())
      void this.#pump(from, to, up)
    }
  }

  disturbed({ kind }: Disturbance): void {
    if (kind === 'reset') this.destroy()
  }

  destroy(): void {
    for (const socket of [this.#client, this.#server]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  /** What a black hole has swallowed is lost for good: its connection never comes back to life. */
  async #pump(from: Socket, to: Socket, up: boolean): Promise<void> {
    let swallowed = false
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        const disturbance = this.#disturbance()
        if (disturbance.kind === 'black-hole' || (disturbance.kind === 'drop-replies' && !up)) swallowed = true
        if (swallowed) continue
        if (disturbance.kind === 'lose-replies' && !up && this.#losesReply(disturbance.oneIn)) return this.destroy()
        if (disturbance.kind === 'delay') await pause(disturbance.ms)
        if (disturbance.kind === 'cut' && up) {
          const left = disturbance.afterBytes - this.#sentUp
          this.#sentUp += chunk.length
          if (left < chunk.length) {
            if (left > 0) to.write(chunk.subarray(0, left))
            this.destroy()
            return
          }
        }
        if (!to.write(chunk))
          await new Promise<void>((resolve) => {
            to.once('drain', resolve)
            to.once('close', () => resolve())
          })
      }
      if (!swallowed) to.end()
    } catch {
      this.destroy()
    }
  }

  #closed(): void {
    // A half-open connection: the other side is not told while the hole is there.
    if (this.#disturbance().kind === 'black-hole') return
    if (this.#client.destroyed && this.#server.destroyed) this.onClose()
    else if (this.#client.destroyed) this.#server.destroy()
  }
}
