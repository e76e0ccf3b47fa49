import type { Socket } from 'node:net'
import { deserialize, serialize } from 'node:v8'

/** What goes over the socket, in either direction. */
export type Frame =
  /** The first, from the server: whose transport it is. */
  | { readonly is: 'hello'; readonly name: string; readonly guarantees: unknown; readonly methods: readonly string[] }
  /** That the other end lives: both say it all the time. */
  | { readonly is: 'alive' }
  | { readonly is: 'call'; readonly call: number; readonly method: string; readonly args: readonly unknown[] }
  | { readonly is: 'result'; readonly call: number; readonly result?: unknown; readonly error?: SentError }
  /** One call of the handler of the receive with this call number. */
  | { readonly is: 'deliver'; readonly call: number; readonly delivery: number; readonly deliveries: unknown }
  | { readonly is: 'answer'; readonly delivery: number; readonly results: unknown }
  | { readonly is: 'trouble'; readonly call: number; readonly error?: SentError | undefined }
  | { readonly is: 'abort'; readonly call: number }

export interface SentError {
  readonly code: string
  readonly message: string
}

/** How often each end says that it lives, in milliseconds. */
export const ALIVE_EVERY = 250

/** Length and then the value, as V8 serializes it: dates, lone surrogates and undefined arrive as they are. */
export function sendFrame(socket: Socket, frame: Frame): void {
  if (socket.destroyed) return
  const body = serialize(frame)
  const head = Buffer.allocUnsafe(4)
  head.writeUInt32BE(body.length)
  socket.write(head)
  socket.write(body)
}

/** Calls back for each whole frame, in order. */
export function readFrames(socket: Socket, onFrame: (frame: Frame) => void): void {
  let chunks: Buffer[] = []
  let have = 0
  let need = 4
  let body = false
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    have += chunk.length
    while (have >= need) {
      const all = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
      const part = all.subarray(0, need)
      chunks = [all.subarray(need)]
      have -= need
      need = body ? 4 : part.readUInt32BE()
      body = !body
      if (!body) onFrame(deserialize(part) as Frame)
    }
  })
}
