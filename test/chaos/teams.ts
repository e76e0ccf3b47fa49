import type { Queryable } from 'comity'
import { type OnOptions, type Team, type TeamOptions, team } from 'comity'
import { Account, Clicked, Line, Moved, Note, Price, Product } from './contracts.ts'
import { monotonic } from './recorder.ts'

export type TeamName = 'shop' | 'mail' | 'stock'
export type AnyTeam = Team<Queryable>
type Options = TeamOptions<Queryable>

/** What a handler of a scenario may do around its effect. */
export interface HandlerHooks {
  /** The handler has an SQL error after its effect, and catches it. */
  swallows?(message: HandledMessage): boolean
  beforeEffect?(message: HandledMessage): Promise<void> | void
  afterEffect?(message: HandledMessage): Promise<void> | void
}
export interface HandledMessage {
  readonly id: string
  readonly key: string
  readonly mark: string | null
  readonly tenant: string | undefined
  readonly version: number
  readonly signal: AbortSignal
}

/** A handler's effects, one row each; nothing in the table prevents a second row of the same message. */
export const EFFECTS = `
  create table effects (
    seq bigint generated always as identity primary key, subscription text not null, message text not null, key text not null,
    kind text not null, version bigint not null, mark text, at float8 not null)`
const RECORD_EFFECT = `
  insert into effects (subscription, message, key, kind, version, mark, at)
  values ($1::text, $2::text, $3::text, $4::text, $5::text::bigint, $6::text, $7::text::float8)`

export const HANDLED = { 'mail.clicked': Clicked, 'mail.moved': Moved, 'mail.note': Note } as const
export const KEPT = {
  'stock.account': { entity: Account, fields: ['mark', 'balance'], table: 'shop_account' },
  'stock.product': { entity: Product, fields: ['mark', 'title', 'price', 'tags', 'changedAt'], table: 'shop_product' },
  'stock.line': { entity: Line, fields: ['mark', 'quantity'], table: 'shop_line' },
  'stock.note': { entity: Note, fields: ['mark'], table: 'shop_note' },
  'stock.price': { entity: Price, fields: ['mark', 'cents'], table: 'shop_price' },
} as const

/** Of every handler: what `on` takes, as far as JSON can carry it. */
export type HandlerSettings = Pick<
  OnOptions,
  'timeout' | 'attempts' | 'batch' | 'backoff' | 'breaker' | 'prefetch' | 'prefetchBytes' | 'concurrency'
>

export function chaosTeam(name: TeamName, options: Options, hooks: HandlerHooks = {}, handling: HandlerSettings = {}): AnyTeam {
  if (name === 'shop') return shop(options)
  return name === 'mail' ? mail(options, hooks, handling) : stock(options)
}

function shop(options: Options): AnyTeam {
  return team('shop', options)
    .owns(Account, { table: 'accounts' })
    .owns(Product, { table: 'products' })
    .owns(Line, { table: 'lines' })
    .owns(Note, { table: 'notes' })
    .publishes(Price)
    .publishes(Clicked)
    .publishes(Moved)
}

function mail(options: Options, hooks: HandlerHooks, handling: HandlerSettings): AnyTeam {
  const mailing = team('mail', options)
  for (const [subscription, contract] of Object.entries(HANDLED)) {
    mailing.on(
      contract,
      async (message, { tx, signal }) => {
        const state = 'data' in message ? message.data : message.state
        const handled = {
          id: message.id,
          key: message.key,
          mark: state?.mark ?? null,
          tenant: message.tenant,
          version: message.version,
          signal,
        }
        await hooks.beforeEffect?.(handled)
        const kind = message.kind === 'event' || message.kind === 'deleted' ? message.kind : 'state'
        await tx.query(RECORD_EFFECT, [
          subscription,
          message.id,
          message.key,
          kind,
          String(message.version),
          handled.mark,
          String(monotonic()),
        ])
        if (hooks.swallows?.(handled)) await tx.query('select 1 / 0').catch(() => undefined)
        await hooks.afterEffect?.(handled)
      },
      { ...handling, name: subscription.slice('mail.'.length) },
    )
  }
  return mailing
}

function stock(options: Options): AnyTeam {
  return team('stock', options)
    .keeps(Account, { fields: [...KEPT['stock.account'].fields], table: 'shop_account', name: 'account' })
    .keeps(Product, { fields: [...KEPT['stock.product'].fields], table: 'shop_product', name: 'product' })
    .keeps(Line, { fields: [...KEPT['stock.line'].fields], table: 'shop_line', name: 'line' })
    .keeps(Note, { fields: [...KEPT['stock.note'].fields], table: 'shop_note', name: 'note' })
    .keeps(Price, { fields: [...KEPT['stock.price'].fields], table: 'shop_price', name: 'price' })
}
