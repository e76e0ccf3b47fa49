import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import * as transports from 'comity/transport'
import {
  type Delivery,
  type DeliveryHandler,
  type DeliveryResult,
  type Guarantees,
  type ReceiveOptions,
  type Transport,
  TransportClosed,
  TransportUnavailable,
} from 'comity/transport'
import { ALIVE_EVERY, type Frame, readFrames, type SentError, sendFrame } from './frames.ts'

export interface RemoteTransportOptions {
  /** How long the server may be silent before the connection is given up as half-open, in milliseconds. Default 4000. */
  readonly answerTimeout?: number
}
export interface RemoteTransport extends Transport {
  /** As after kill -9. */
  crash(): void
}

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}
interface Receiving {
  readonly subscription: string
  readonly handler: DeliveryHandler
  readonly options: ReceiveOptions
  /** Its call number on the present connection; 0 while there is none. */
  call: number
  running: number
  lost: boolean
  settle(error?: Error): void
}

/**
 * The client of a {@link TransportServer}.
 *
 *   connecting ──hello──▶ connected ──the socket ends, or is silent──▶ connecting …
 *                             └──close──▶ closed
 *
 * When a connection is lost, what was asked over it fails as unavailable, receives are asked for again, and answers of handlers that
 * were running count for nothing.
 */
export async function remoteTransport(url: string, { answerTimeout = 4000 }: RemoteTransportOptions = {}): Promise<RemoteTransport> {
  const { hostname, port } = new URL(url)
  const pending = new Map<number, Pending>()
  const receiving = new Set<Receiving>()
  let socket: Socket | undefined
  let calls = 0
  let heardAt = 0
  let closing: Promise<void> | undefined
  let over = false
  let timer: NodeJS.Timeout | undefined

  function open(): Promise<Frame & { is: 'hello' }> {
    return new Promise((resolve, reject) => {
      const opened = connect({ host: hostname, port: Number(port), noDelay: true })
      const timeout = setTimeout(() => opened.destroy(), answerTimeout)
      opened.on('error', () => opened.destroy())
      opened.once('close', () => {
        clearTimeout(timeout)
        reject(unavailable('the connection ended'))
        if (socket === opened) lost()
      })
      readFrames(opened, (frame) => {
        heardAt = performance.now()
        if (frame.is !== 'hello') return take(frame)
        clearTimeout(timeout)
        socket = opened
        resolve(frame)
      })
    })
  }

  function take(frame: Frame): void {
    if (frame.is === 'result') {
      const call = pending.get(frame.call)
      pending.delete(frame.call)
      if (frame.error) call?.reject(received(frame.error))
      else call?.resolve(frame.result)
    } else if (frame.is === 'deliver') {
      const mine = [...receiving].find(({ call }) => call === frame.call)
      if (mine) void deliver(mine, frame.delivery, frame.deliveries as Delivery[])
    } else if (frame.is === 'trouble') {
      const mine = [...receiving].find(({ call }) => call === frame.call)
      mine?.options.onTrouble?.(frame.error && received(frame.error))
    }
  }

  async function deliver(mine: Receiving, delivery: number, deliveries: readonly Delivery[]): Promise<void> {
    const from = socket as Socket
    mine.running++
    let results: readonly DeliveryResult[] = []
    try {
      results = await mine.handler(deliveries)
    } catch {
      // As if nothing were answered: all of them come again.
    }
    mine.running--
    sendFrame(from, { is: 'answer', delivery, results })
    endIfOver(mine)
  }

  /** A receive without a connection ends by itself. */
  function endIfOver(mine: Receiving): void {
    if (mine.call === 0 && mine.running === 0 && (mine.options.signal.aborted || over)) mine.settle()
  }

  function lost(): void {
    socket = undefined
    for (const { reject } of pending.values()) reject(unavailable('the connection was lost'))
    pending.clear()
    if (!over) void reconnect()
  }

  async function reconnect(): Promise<void> {
    for (const mine of receiving) {
      mine.lost = true
      mine.options.onTrouble?.(unavailable('the connection was lost'))
    }
    while (!over && socket === undefined) {
      try {
        await open()
        for (const mine of receiving) ask(mine)
      } catch {
        await pause(50)
      }
    }
  }

  function call(method: string, args: readonly unknown[], number: number = ++calls): Promise<unknown> {
    if (socket === undefined) return Promise.reject(unavailable('there is no connection'))
    const answered = new Promise<unknown>((resolve, reject) => pending.set(number, { resolve, reject }))
    sendFrame(socket, { is: 'call', call: number, method, args })
    return answered
  }

  /** Asks for it on this connection; over another one it is asked for again. */
  function ask(mine: Receiving): void {
    if (mine.options.signal.aborted) {
      endIfOver(mine)
      return
    }
    const { prefetch, prefetchBytes } = mine.options
    mine.call = ++calls
    const asked = call(
      'receive',
      [mine.subscription, { ...(prefetch && { prefetch }), ...(prefetchBytes && { prefetchBytes }) }],
      mine.call,
    )
    if (mine.lost) mine.options.onTrouble?.(undefined)
    mine.lost = false
    asked.then(
      () => mine.settle(),
      (error: Error & { code?: string }) => {
        mine.call = 0
        if (error.code !== 'COMITY_TRANSPORT_UNAVAILABLE') return mine.settle(error)
        endIfOver(mine)
      },
    )
  }

  function receive(subscription: string, handler: DeliveryHandler, options: ReceiveOptions): Promise<void> {
    if (options.signal.aborted) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        if (mine.call > 0 && socket) sendFrame(socket, { is: 'abort', call: mine.call })
        else endIfOver(mine)
      }
      const mine: Receiving = {
        ...{ subscription, handler, options, call: 0, running: 0, lost: false },
        settle(error) {
          receiving.delete(mine)
          options.signal.removeEventListener('abort', abort)
          if (error) reject(error)
          else resolve()
        },
      }
      options.signal.addEventListener('abort', abort, { once: true })
      receiving.add(mine)
      if (socket) ask(mine)
      else mine.lost = true
    })
  }

  async function close(): Promise<void> {
    await call('close', []).catch(() => undefined)
    end()
    await Promise.all([...receiving].map((mine) => new Promise<void>((resolve) => awaitEnd(mine, resolve))))
  }
  function awaitEnd(mine: Receiving, resolve: () => void): void {
    const settle = mine.settle
    mine.settle = (error) => {
      settle(error)
      resolve()
    }
    endIfOver(mine)
  }
  function end(): void {
    over = true
    clearTimeout(timer)
    socket?.destroy()
  }

  const ready = async <Result>(work: () => Result | Promise<Result>): Promise<Result> => {
    if (closing !== undefined || over) throw new TransportClosed({ transport: hello.name })
    return await work()
  }

  const hello = await open()
  const tick = (): void => {
    if (socket && performance.now() - heardAt > answerTimeout) socket.destroy()
    else if (socket) sendFrame(socket, { is: 'alive' })
    timer = setTimeout(tick, ALIVE_EVERY)
  }
  timer = setTimeout(tick, ALIVE_EVERY)

  const methods = Object.fromEntries(
    hello.methods.map((method) => [method, (...args: readonly unknown[]) => ready(() => call(method, args))]),
  ) as unknown as Pick<Transport, 'provision' | 'buckets' | 'isSubscribed' | 'claim' | 'stats' | 'seek' | 'remove' | 'access'>
  return {
    ...methods,
    name: hello.name,
    guarantees: frozen(hello.guarantees as Guarantees),
    send: (topic, messages, { signal, fence } = {}) =>
      ready(() => {
        signal?.throwIfAborted()
        return call('send', [topic, messages, fence ? { fence } : {}]) as ReturnType<Transport['send']>
      }),
    receive: (subscription, handler, options) => ready(() => receive(subscription, handler, options)),
    crash() {
      end()
      for (const mine of receiving) mine.settle()
    },
    close() {
      closing ??= close()
      return closing
    },
    async [Symbol.asyncDispose]() {
      closing ??= close()
      await closing
    },
  }
}

function frozen({ limits, access, ...rest }: Guarantees): Guarantees {
  return Object.freeze({ ...rest, limits: Object.freeze(limits), access: Object.freeze(access) })
}

function unavailable(reason: string): Error {
  return new TransportUnavailable({ transport: 'remote', reason })
}

/** As the error that it was: the engine asks for classes, its users for codes. */
function received({ code, message }: SentError): Error {
  const type = Object.values(transports).find((each) => typeof each === 'function' && 'code' in each && each.code === code)
  const error = type ? new (type as typeof TransportUnavailable)({} as never) : Object.assign(new Error(message), { code })
  error.message = message
  return error
}
