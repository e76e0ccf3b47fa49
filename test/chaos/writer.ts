import type { Token } from 'comity'
import type { Change, ChangeOutcome } from 'comity/testing'
import { agencyOf, Clicked, Moved, Price } from './contracts.ts'
import type { Random } from './random.ts'
import { monotonic, type Recorder } from './recorder.ts'
import { PRICE, SHOP, type ShopRow } from './shop-statements.ts'
import { READABLE } from './token-reader.ts'

/** A connection as far as a writer uses it, so that a scenario can stand between. */
export interface WriterClient {
  query<Row>(text: string, values?: unknown[]): Promise<{ rows: Row[]; rowCount: number | null; command: string }>
}

/** How often what is written; the names are the topics'. */
export interface Mix {
  readonly weights: Readonly<Record<'account' | 'product' | 'line' | 'note' | 'price' | 'clicked' | 'moved', number>>
  /** Keys of each topic. */
  readonly keys: number
  readonly rollbacks: number
  readonly savepoints: number
  readonly prepared: number
  readonly asynchronous: number
  /** Rows of one statement at most. */
  readonly rows: number
  readonly statements: number
}

export const DEFAULT_MIX: Mix = {
  weights: { account: 34, product: 22, line: 18, price: 8, note: 3, clicked: 7, moved: 5 },
  keys: 50,
  rollbacks: 0.1,
  savepoints: 0.1,
  prepared: 0,
  asynchronous: 0.05,
  rows: 6,
  statements: 4,
}

/** One statement of a plan, with the changes that it will make if it finds its rows. */
interface Statement {
  readonly changes: readonly Change[]
  readonly savepoint: boolean
  /** Runs it; answers what became of each change. */
  readonly run: (client: WriterClient) => Promise<readonly ChangeOutcome[]>
}

/** Plans and runs transactions of one writer, and writes down each as invoke and ok / fail / info. */
export class Writer {
  readonly #name: string
  readonly #random: Random
  readonly #recorder: Recorder
  readonly #mix: Mix
  readonly #clone: boolean
  readonly #onToken: ((token: Token) => void) | undefined
  #transactions = 0
  #marks = 0

  constructor(options: {
    readonly name: string
    readonly random: Random
    readonly recorder: Recorder
    readonly mix?: Partial<Mix>
    readonly clone?: boolean
    /** Told now and then what a committed transaction has announced last of a key. */
    onToken?(token: Token): void
  }) {
    this.#name = options.name
    this.#random = options.random
    this.#recorder = options.recorder
    this.#mix = { ...DEFAULT_MIX, ...options.mix }
    this.#clone = options.clone ?? false
    this.#onToken = options.onToken?.bind(options)
  }

  /** One transaction. Answers how many changes are committed; throws only when the connection is lost. */
  async transact(client: WriterClient): Promise<number> {
    const random = this.#random
    const statements = Array.from({ length: random.between(1, this.#mix.statements) }, () => this.#plan())
    const changes = statements.flatMap((statement) => statement.changes)
    const op = `${this.#name}.${++this.#transactions}`
    const rollback = random.chance(this.#mix.rollbacks)
    const prepare = !rollback && random.chance(this.#mix.prepared)
    const begin = `begin isolation level ${random.weighted({ 'read committed': 8, 'repeatable read': 1, serializable: 1 })}`
    const record = (phase: 'ok' | 'fail' | 'info', committingAt: number | undefined, outcomes: readonly ChangeOutcome[]): void =>
      this.#recorder.record({ f: 'write', phase, time: monotonic(), op, outcomes, ...(committingAt === undefined ? {} : { committingAt }) })

    this.#recorder.record({ f: 'write', phase: 'invoke', time: monotonic(), op, changes, ...(this.#clone ? { clone: true } : {}) })
    const outcomes: ChangeOutcome[] = []
    let committingAt: number | undefined
    try {
      await client.query(begin)
      const asynchronous = random.chance(this.#mix.asynchronous)
      if (asynchronous) await client.query('set local synchronous_commit = off')
      for (const statement of statements) outcomes.push(...(await this.#run(client, statement)))
      // What announces nothing is as durable as the business wants it, and here it wants its journal.
      if (asynchronous && outcomes.every(({ undone }) => undone)) await client.query('set local synchronous_commit = on')
      await client.query('insert into journal (op) values ($1::text)', [op])
      if (rollback) {
        await client.query('rollback')
        record('fail', undefined, outcomes)
        return 0
      }
      const token = this.#transactions % TOKEN_EVERY === 0 ? await tokenOf(client, changes, outcomes) : undefined
      if (prepare) await client.query(`prepare transaction '${op}'`)
      committingAt = monotonic()
      const { command } = await client.query(prepare ? `commit prepared '${op}'` : 'commit')
      record(command === 'ROLLBACK' ? 'fail' : 'ok', committingAt, outcomes)
      if (token !== undefined && command !== 'ROLLBACK') this.#onToken?.(token)
      return outcomes.filter(({ undone }) => !undone).length
    } catch (error) {
      const refused = /^[0-9A-Z]{5}$/.test((error as { code?: string }).code ?? '') && !/^(08|57P0)/.test((error as { code: string }).code)
      record(committingAt === undefined || (refused && !prepare) ? 'fail' : 'info', committingAt, outcomes)
      if (!refused) throw error
      await client.query('rollback')
      return 0
    }
  }

  async #run(client: WriterClient, statement: Statement): Promise<readonly ChangeOutcome[]> {
    if (!statement.savepoint) return statement.run(client)
    await client.query('savepoint s')
    const outcomes = await statement.run(client)
    await client.query('rollback to savepoint s')
    return outcomes.map((outcome) => ({ ...outcome, undone: true }))
  }

  #plan(): Statement {
    const topic = this.#random.weighted(this.#mix.weights)
    const savepoint = this.#random.chance(this.#mix.savepoints)
    if (topic === 'clicked' || topic === 'moved') return { ...this.#event(topic), savepoint }
    if (topic === 'price') return { ...this.#price(), savepoint }
    return { ...this.#rows(topic), savepoint }
  }

  #mark(): string {
    return `${this.#name}:${++this.#marks}`
  }

  #rows(name: keyof typeof SHOP): Omit<Statement, 'savepoint'> {
    const random = this.#random
    const table = SHOP[name]
    const action = random.weighted({ upsert: 5, insert: 1, update: 3, remove: 2 })
    const count = random.chance(0.3) ? random.between(2, this.#mix.rows) : 1
    const numbers = [...new Set(Array.from({ length: count }, () => random.between(1, this.#mix.keys)))].sort((a, b) => a - b)
    const rows: ShopRow[] = numbers.map((n) => table.row(n, this.#mark(), random))
    const changes = rows.map(
      (row): Change => ({
        topic: table.topic,
        key: table.keyOf(row),
        kind: action === 'remove' ? 'deleted' : 'state',
        mark: action === 'remove' ? null : String(row.mark),
      }),
    )
    return {
      changes,
      run: async (client) => {
        const at = monotonic()
        const { rows: found } = await client.query<Record<string, string>>(table[action], [JSON.stringify(rows)])
        const keys = new Set(found.map((row) => table.keyOf(name === 'line' || name === 'account' ? numbered(row) : row)))
        return changes.map(({ key }) => (keys.has(key) ? { at } : { at, undone: true }))
      },
    }
  }

  #price(): Omit<Statement, 'savepoint'> {
    const random = this.#random
    const sku = `sku-${random.between(1, this.#mix.keys)}`
    if (random.chance(0.2)) {
      return {
        changes: [{ topic: PRICE.topic, key: sku, kind: 'deleted', mark: null }],
        run: async (client) => {
          const at = monotonic()
          const { rowCount } = await client.query(PRICE.remove, [sku])
          if (rowCount === 0) return [{ at, undone: true }]
          return [{ at, version: await publish(client, Price.name, null, 'deleted', sku) }]
        },
      }
    }
    const mark = this.#mark()
    const cents = random.between(1, 10_000)
    return {
      changes: [{ topic: PRICE.topic, key: sku, kind: 'state', mark }],
      run: async (client) => {
        const at = monotonic()
        await client.query(PRICE.upsert, [sku, mark, cents])
        return [{ at, version: await publish(client, Price.name, JSON.stringify({ sku, mark, cents })) }]
      },
    }
  }

  #event(name: 'clicked' | 'moved'): Omit<Statement, 'savepoint'> {
    const random = this.#random
    const contract = name === 'clicked' ? Clicked : Moved
    const number = random.between(1, this.#mix.keys)
    const key = `${name}-${number}`
    const marks = Array.from({ length: random.between(1, 3) }, () => this.#mark())
    return {
      changes: marks.map((mark): Change => ({ topic: contract.name, key, kind: 'event', mark })),
      run: async (client) => {
        const outcomes: ChangeOutcome[] = []
        for (const mark of marks) {
          const at = monotonic()
          const data = { [name === 'clicked' ? 'page' : 'parcel']: key, agency: agencyOf(number), mark }
          outcomes.push({ at, version: await publish(client, contract.name, JSON.stringify(data)) })
        }
        return outcomes
      },
    }
  }
}

/** What every language does: one SQL call in its own transaction. */
async function publish(
  client: WriterClient,
  topic: string,
  data: string | null,
  kind: 'deleted' | null = null,
  key: string | null = null,
): Promise<number> {
  const { rows } = await client.query<{ version: string }>(
    'select comity.publish($1::text, $2::text, $3::text, null, $4::text)::text as version',
    [topic, data, kind, key],
  )
  return Number(rows[0]?.version)
}

/** Integer columns as the contract has them; `order` is a bigint, which travels as text. */
function numbered(row: Record<string, string>): Record<string, unknown> {
  return { ...row, ...(row.line === undefined ? {} : { line: Number(row.line) }), ...(row.id === undefined ? {} : { id: Number(row.id) }) }
}

/** Transactions of a writer of which one asks for a token. */
const TOKEN_EVERY = 10

/** What any language does to read its own write elsewhere: asks, in its transaction, which version a key was given. */
async function tokenOf(client: WriterClient, changes: readonly Change[], outcomes: readonly ChangeOutcome[]): Promise<Token | undefined> {
  const change = changes.find(({ topic }, i) => READABLE.has(topic) && outcomes[i]?.undone !== true)
  if (change === undefined) return undefined
  const { rows } = await client.query<{ version: string | null }>('select comity.token($1::text, $2::text)::text as version', [
    change.topic,
    change.key,
  ])
  const version = rows[0]?.version ?? null
  return version === null ? undefined : { topic: change.topic, key: change.key, version: Number(version) }
}
