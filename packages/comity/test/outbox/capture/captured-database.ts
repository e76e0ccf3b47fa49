import { type Entity, entity } from '@comity/contract'
import { freshDatabase, type ServerName } from '../../../../../test/support/postgres.ts'
import {
  type CaptureOptions,
  type CapturePlan,
  captureSql,
  expressionsOf,
  inspectTable,
  planCapture,
  runWithLockTimeout,
} from '../../../src/outbox/capture/index.ts'
import { connect, type PostgresDatabase } from '../../../src/postgres/index.ts'

/** What capture put into the outbox. */
export interface Announced {
  readonly id: number
  readonly topic: string
  readonly key: string
  readonly kind: string
  readonly tenant: string | null
  readonly state: unknown
  readonly payload: string | null
  readonly withheld: { readonly code: string; readonly path: string; readonly reason: string } | undefined
}

export interface CapturedDatabase extends AsyncDisposable {
  readonly url: string
  readonly db: PostgresDatabase
  /** Statements in one session of their own, without a transaction around them. */
  run(...statements: string[]): Promise<void>
  capture(contract: Entity, table: string, options?: CaptureOptions): Promise<CapturePlan>
  /** What was announced since the last call, in order. */
  announced(): Promise<Announced[]>
  /** The same, as `kind key`. */
  kinds(): Promise<string[]>
  value<Value>(sql: string): Promise<Value>
}

export async function capturedDatabase(server: ServerName): Promise<CapturedDatabase> {
  const { url } = await freshDatabase({ server, migrated: true })
  const db = connect(url, { max: 4 })
  let seen = 0
  const announced = async (): Promise<Announced[]> => {
    const { rows } = await db.query<{
      id: string
      topic: string
      key: string
      kind: string
      tenant: string | null
      payload: string | null
      headers: string | null
    }>('select id::text, topic, key, kind, tenant, payload, headers from comity.outbox where id > $1::text::bigint order by id', [seen])
    seen = Number(rows.at(-1)?.id ?? seen)
    return rows.map(({ headers, ...row }) => ({
      ...row,
      id: Number(row.id),
      state: row.payload === null ? null : JSON.parse(row.payload),
      withheld: headers === null ? undefined : JSON.parse(headers).withheld,
    }))
  }
  return {
    url,
    db,
    run: (...statements) =>
      db.session(async (session) => {
        for (const statement of statements) await session.query(statement)
      }),
    capture: async (contract, table, options = {}) => {
      const plan = planCapture(contract, await inspectTable(db, table, expressionsOf(options)), options)
      await runWithLockTimeout(db, captureSql(plan))
      return plan
    },
    announced,
    kinds: async () => (await announced()).map(({ kind, key }) => `${kind} ${key}`),
    value: async (sql) => Object.values((await db.query(sql)).rows[0] as object)[0],
    [Symbol.asyncDispose]: () => db.close(),
  }
}

/** An entity of plain JSON Schema: field → schema, `?` after a field that may be missing. */
export function plainEntity(
  key: string | string[],
  fields: Record<string, object>,
  tenant?: string,
  name: string = 'crm.customer',
): Entity {
  return entity(name, {
    key,
    ...(tenant === undefined ? {} : { tenant }),
    state: {
      type: 'object',
      properties: Object.fromEntries(Object.entries(fields).map(([field, schema]) => [field.replace('?', ''), schema])),
      required: Object.keys(fields).filter((field) => !field.endsWith('?')),
    },
  } as never) as unknown as Entity
}

export const string: object = { type: 'string' }
export const integer: object = { type: 'integer' }
export const number: object = { type: 'number' }
export const boolean: object = { type: 'boolean' }
export const nullable = (schema: object): object => ({ anyOf: [schema, { type: 'null' }] })
