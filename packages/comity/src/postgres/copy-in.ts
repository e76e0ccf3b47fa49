import pg from 'pg'
import type { PgClient } from './pg-handle.ts'

/**
 * `COPY … FROM STDIN` on a connection of our own pool: several times faster than a statement with parameters, for no row passes through the
 * parser of statements or of JSON. Text format, UTF-8. pg has no method for it, but its queries may answer the server's word that it is ready for data.
 */
export function copyIn(client: PgClient, statement: string, data: string, meanwhile?: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = new CopyIn(statement, data, meanwhile, (error) => (error ? reject(error) : resolve()))
    // It answers through the callback, and nothing else.
    void client.query(query as never)
  })
}

/** What a query does with its connection: see pg's lib/query.js, which refuses here. */
interface CopyConnection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

/** One of pg's own, for a pipelined connection takes no other; by the simple protocol, where nothing is on its way behind it. */
class CopyIn extends pg.Query {
  readonly #data: string
  readonly #meanwhile: (() => void) | undefined

  constructor(statement: string, data: string, meanwhile: (() => void) | undefined, callback: (error: Error | undefined) => void) {
    super({ text: statement }, undefined, callback as never)
    this.#data = data
    this.#meanwhile = meanwhile
  }

  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(Buffer.from(this.#data))
    connection.endCopyFrom()
    if (this.#meanwhile !== undefined) setImmediate(this.#meanwhile)
  }
}
