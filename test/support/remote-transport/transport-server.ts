import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Delivery, DeliveryResult, ReceiveOptions, Transport } from 'comity/transport'
import { ALIVE_EVERY, type Frame, readFrames, type SentError, sendFrame } from './frames.ts'

export interface TransportServerOptions {
  /** How long a client may be silent before it counts as dead, in milliseconds: what it holds comes again, to others. Default 1500. */
  readonly lease?: number
}

/**
 * Tests only: offers a transport of this process to other processes, so that teams that can be killed share a bus that lives here. Each
 * connection of a client has a connection of its own to the bus; a client that goes without a goodbye has crashed.
 */
export class TransportServer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(connect: () => Transport, { lease = 1500 }: TransportServerOptions = {}): Promise<TransportServer> {
    const server = createServer({ noDelay: true })
    const started = new TransportServer(server)
    server.on('connection', (socket) => {
      started.#sockets.add(socket)
      socket.once('close', () => started.#sockets.delete(socket))
      serve(socket, connect(), lease)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return started
  }

  get url(): string {
    return `memory://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

function serve(socket: Socket, transport: Transport & { crash?(): void }, lease: number): void {
  const receives = new Map<number, AbortController>()
  const answers = new Map<number, (results: readonly DeliveryResult[]) => void>()
  let deliveries = 0
  let heardAt = performance.now()
  const send = (frame: Frame): void => sendFrame(socket, frame)

  socket.on('error', () => socket.destroy())
  socket.once('close', () => {
    clearTimeout(timer)
    // After a goodbye there is nothing left that could crash.
    if (transport.crash) transport.crash()
    else void transport.close()
    for (const answer of answers.values()) answer([])
  })
  readFrames(socket, (frame) => {
    heardAt = performance.now()
    if (frame.is === 'abort') receives.get(frame.call)?.abort()
    else if (frame.is === 'answer') {
      answers.get(frame.delivery)?.(frame.results as DeliveryResult[])
      answers.delete(frame.delivery)
    } else if (frame.is === 'call') void answerCall(frame)
  })

  async function answerCall({ call, method, args }: Frame & { is: 'call' }): Promise<void> {
    try {
      const result = method === 'receive' ? await receive(call, args) : await callOf(method)(...args)
      send({ is: 'result', call, result })
    } catch (error) {
      send({ is: 'result', call, error: sent(error) })
    }
  }

  function callOf(method: string): (...args: readonly unknown[]) => Promise<unknown> {
    return (transport[method as keyof Transport] as (...args: readonly unknown[]) => Promise<unknown>).bind(transport)
  }

  async function receive(call: number, args: readonly unknown[]): Promise<void> {
    const [subscription, flow] = args as [string, Pick<ReceiveOptions, 'prefetch' | 'prefetchBytes'>]
    const controller = new AbortController()
    receives.set(call, controller)
    const handler = (given: readonly Delivery[]): Promise<readonly DeliveryResult[]> => {
      const delivery = ++deliveries
      return new Promise((resolve) => {
        if (socket.destroyed) return resolve([])
        answers.set(delivery, resolve)
        send({ is: 'deliver', call, delivery, deliveries: given })
      })
    }
    try {
      await transport.receive(subscription, handler, {
        ...flow,
        signal: controller.signal,
        onTrouble: (error) => send({ is: 'trouble', call, error: error && sent(error) }),
      })
    } finally {
      receives.delete(call)
    }
  }

  const methods = ['provision', 'send', 'buckets', 'isSubscribed', 'claim', 'stats', 'seek', 'remove', 'access'].filter(
    (name) => name in transport,
  )
  send({ is: 'hello', name: transport.name, guarantees: transport.guarantees, methods })
  let timer: NodeJS.Timeout
  const tick = (): void => {
    if (performance.now() - heardAt > lease) return void socket.destroy()
    send({ is: 'alive' })
    timer = setTimeout(tick, ALIVE_EVERY)
  }
  timer = setTimeout(tick, ALIVE_EVERY)
}

function sent(error: unknown): SentError {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  return { code: code ?? '', message: message ?? String(error) }
}
