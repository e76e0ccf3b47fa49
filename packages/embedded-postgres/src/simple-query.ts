import { connect } from 'node:net'
import { type EmbeddedPostgresError, QueryFailed } from './errors.ts'

/**
 * Runs one statement by the simple query protocol (PostgreSQL documentation, chapter "Frontend/Backend Protocol") under trust
 * authentication, and ignores its rows. Enough for CREATE DATABASE, so that the launcher needs no driver.
 * Answers `false` if Postgres refused it with one of the SQLSTATEs `accepted`.
 */
export async function simpleQuery(
  at: { readonly host: string; readonly port: number; readonly user: string; readonly database: string },
  sql: string,
  accepted: readonly string[] = [],
): Promise<boolean> {
  const socket = connect(at.port, at.host)
  let received = Buffer.alloc(0)
  let sent = false
  let refusal: EmbeddedPostgresError | undefined
  let refusedAsAccepted = false
  try {
    return await new Promise<boolean>((resolve, reject) => {
      const broken = (error?: Error): void =>
        reject(new QueryFailed({ sql, message: error?.message ?? 'the connection was closed', state: '08006' }, error))
      socket.once('error', broken)
      socket.once('close', () => broken())
      socket.once('connect', () => socket.write(startupMessage(at.user, at.database)))
      socket.on('data', (chunk: Buffer) => {
        received = Buffer.concat([received, chunk])
        // type (1 byte), length including itself (4 bytes), body
        while (received.length >= 5 && received.length >= 1 + received.readUInt32BE(1)) {
          const end = 1 + received.readUInt32BE(1)
          const type = String.fromCharCode(received[0] ?? 0)
          const body = received.subarray(5, end)
          received = received.subarray(end)
          if (type === 'E') {
            const fields = errorFields(body)
            if (sent && accepted.includes(fields.state)) refusedAsAccepted = true
            else refusal = new QueryFailed({ sql, ...fields })
            if (!sent) return reject(refusal)
          }
          if (type !== 'Z') continue
          if (sent) return refusal ? reject(refusal) : resolve(!refusedAsAccepted)
          sent = true
          socket.write(message('Q', `${sql}\0`))
        }
      })
    })
  } finally {
    socket.end(message('X', ''))
    socket.destroySoon()
  }
}

function startupMessage(user: string, database: string): Buffer {
  const PROTOCOL_3_0 = 196_608
  const body = Buffer.from(`user\0${user}\0database\0${database}\0\0`)
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 + body.length, 0)
  head.writeUInt32BE(PROTOCOL_3_0, 4)
  return Buffer.concat([head, body])
}

function message(type: string, text: string): Buffer {
  const body = Buffer.from(text)
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeUInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

/** Fields of ErrorResponse: a letter and a zero-terminated text each; M is the message, C the SQLSTATE. */
function errorFields(body: Buffer): { message: string; state: string } {
  const fields = new Map(
    body
      .toString('utf8')
      .split('\0')
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  )
  return { message: fields.get('M') ?? 'no message', state: fields.get('C') ?? 'XX000' }
}
