import { keyOf } from '@comity/contract'
import { Account, Line, Note, Price, Product } from './contracts.ts'
import type { Random } from './random.ts'

/** One captured table, and how a writer changes it. Rows travel as one JSON text, so that one statement takes any number of them. */
export interface ShopTable {
  readonly topic: string
  readonly keyOf: (row: ShopRow) => string
  /** A row with key number `n`. */
  readonly row: (n: number, mark: string, random: Random) => ShopRow
  readonly upsert: string
  readonly insert: string
  readonly update: string
  readonly remove: string
}
export type ShopRow = Readonly<Record<string, unknown>>

function table(options: {
  readonly name: string
  readonly contract: typeof Account | typeof Product | typeof Line | typeof Note
  readonly columns: Readonly<Record<string, string>>
  readonly key: readonly string[]
  readonly row: ShopTable['row']
}): ShopTable {
  const { name, columns, key } = options
  const all = Object.keys(columns).map((column) => `"${column}"`)
  const others = all.filter((column) => !key.some((part) => `"${part}"` === column))
  const given = `jsonb_to_recordset($1::text::jsonb) as v(${Object.entries(columns)
    .map(([column, type]) => `"${column}" ${type}`)
    .join(', ')})`
  const keys = key.map((part) => `"${part}"`).join(', ')
  const same = key.map((part) => `t."${part}" = v."${part}"`).join(' and ')
  const returning = `returning ${key.map((part) => `t."${part}"::text as "${part}"`).join(', ')}`
  const touched = name === 'products' ? ', changed_at = clock_timestamp()' : ''
  return {
    topic: options.contract.name,
    keyOf: (row) => keyOf(options.contract, row),
    row: options.row,
    upsert: `insert into ${name} as t (${all.join(', ')}) select ${all.map((c) => `v.${c}`).join(', ')} from ${given}
      on conflict (${keys}) do update set ${others.map((c) => `${c} = excluded.${c}`).join(', ')}${touched} ${returning}`,
    insert: `insert into ${name} as t (${all.join(', ')}) select ${all.map((c) => `v.${c}`).join(', ')} from ${given} on conflict do nothing ${returning}`,
    update: `update ${name} t set ${others.map((c) => `${c} = v.${c}`).join(', ')}${touched} from ${given} where ${same} ${returning}`,
    remove: `delete from ${name} t using ${given} where ${same} ${returning}`,
  }
}

/** Key number `n` of products: always the same uuid. */
export function productId(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
}

const NAMES = ['a', 'É', 'z z', 'ß"', "o'neil", '日本', '100%', 'a/b', 'x,y', '[1]']

export const SHOP = {
  account: table({
    name: 'accounts',
    contract: Account,
    columns: { id: 'integer', mark: 'text', balance: 'integer', secret: 'text' },
    key: ['id'],
    row: (n, mark, random) => ({ id: n, mark, balance: random.between(-1000, 1000), secret: `secret of ${mark}` }),
  }),
  product: table({
    name: 'products',
    contract: Product,
    columns: { id: 'uuid', mark: 'text', title: 'text', price: 'numeric', tags: 'text[]' },
    key: ['id'],
    row: (n, mark, random) => ({
      id: productId(n),
      mark,
      title: `title ${random.pick(NAMES)}`,
      price: `${random.between(0, 9999)}.${random.between(10, 99)}`,
      tags: Array.from({ length: random.between(0, 3) }, () => random.pick(NAMES)),
    }),
  }),
  line: table({
    name: 'lines',
    contract: Line,
    columns: { order: 'bigint', line: 'integer', mark: 'text', quantity: 'integer' },
    key: ['order', 'line'],
    row: (n, mark, random) => ({
      order: String(9_000_000_000_000_000n + BigInt(Math.floor(n / 5))),
      line: n % 5,
      mark,
      quantity: random.chance(0.2) ? null : random.between(1, 99),
    }),
  }),
  note: table({
    name: 'notes',
    contract: Note,
    columns: { name: 'text', mark: 'text', text: 'text' },
    key: ['name'],
    row: (n, mark, random) => ({ name: `${NAMES[n % NAMES.length]} ${n}`, mark, text: `\ttext\n${random.pick(NAMES)}` }),
  }),
} as const

/** The business's own row of a published entity: written, and so locked, before its state is published. */
export const PRICE = {
  topic: Price.name,
  upsert: `insert into prices (sku, mark, cents) values ($1::text, $2::text, $3::integer)
    on conflict (sku) do update set mark = excluded.mark, cents = excluded.cents`,
  remove: 'delete from prices where sku = $1::text returning sku',
} as const
