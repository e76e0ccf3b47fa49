import type { Token } from 'comity'
import type { Pool } from 'pg'
import { monotonic, type Recorder } from './recorder.ts'
import { type AnyTeam, KEPT } from './teams.ts'

/** The key of each copy that has one column, as text. */
const KEYS: Readonly<Record<string, string>> = { 'stock.account': 'id', 'stock.product': 'id', 'stock.note': 'name', 'stock.price': 'sku' }
/** Topics whose copies it reads. */
export const READABLE: ReadonlySet<string> = new Set(Object.keys(KEYS).map((name) => KEPT[name as keyof typeof KEPT].entity.name))

/** At the same time; a token that comes while so many are waited for is let go. */
const MOST = 8

/**
 * Reads its own writes elsewhere: waits until a copy holds a token's version, reads the row, and writes down what it found. Waits that
 * nothing ends (the version was lost with a database, or is withheld) are given up with {@link end}.
 */
export class TokenReader {
  readonly #team: AnyTeam
  readonly #pool: Pool
  readonly #recorder: Recorder
  readonly #reading = new Set<Promise<void>>()
  readonly #ending = new AbortController()

  constructor(options: { readonly team: AnyTeam; readonly pool: Pool; readonly recorder: Recorder }) {
    this.#team = options.team
    this.#pool = options.pool
    this.#recorder = options.recorder
  }

  read(token: Token): void {
    if (this.#reading.size >= MOST || this.#ending.signal.aborted) return
    const reading = this.#read(token)
      .catch(() => undefined) // the database of the copy is down, or the wait was given up: nothing was read
      .finally(() => this.#reading.delete(reading))
    this.#reading.add(reading)
  }

  async end(): Promise<void> {
    this.#ending.abort()
    await Promise.all(this.#reading)
  }

  async #read(token: Token): Promise<void> {
    const [name, { entity, table }] = Object.entries(KEPT).find(([, kept]) => kept.entity.name === token.topic) as [
      keyof typeof KEPT,
      (typeof KEPT)[keyof typeof KEPT],
    ]
    await this.#team.replica(entity).waitFor(token, { timeout: 120_000, signal: this.#ending.signal })
    const invokedAt = monotonic()
    const { rows } = await this.#pool.query<{ version: string }>(
      `select comity_version::text as version from ${table} where ${KEYS[name]}::text = $1::text`,
      [token.key],
    )
    const version = rows[0] === undefined ? null : Number(rows[0].version)
    this.#recorder.record({
      f: 'read',
      phase: 'ok',
      time: monotonic(),
      replica: name,
      key: token.key,
      token: token.version,
      version,
      invokedAt,
    })
  }
}
