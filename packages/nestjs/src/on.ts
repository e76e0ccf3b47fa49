import type { Contract, DataOf, Entity } from '@comity/contract'
import type { EntityMessage, EventMessage, OnOptions, TeamContext } from 'comity'

export interface HandlerOptions extends OnOptions {
  /** Name of the ComityModule whose team handles. Default: the one without a name. */
  readonly team?: string
}

/** `tx` is what the team's database calls a transaction: the method says so, `{ tx }: TeamContext<PoolClient>`. */
export type HandlerMethod<C extends Contract> = (
  message: C extends Entity ? EntityMessage<DataOf<C>> : EventMessage<DataOf<C>>,
  context: TeamContext<never>,
) => Promise<void> | void

export interface Handling {
  readonly contract: Contract
  readonly options: HandlerOptions
}

/** By the function itself: a method that a subclass overrides handles only if it says so again. */
const handlings = new WeakMap<object, Handling[]>()

/**
 * The method handles an event, or an entity's changes, as `team.on(…)` does; the effect in `tx` happens once. Its provider needs the default
 * scope. A decorator that replaces the method (rather than noting something beside it) belongs below this one.
 */
export function On<C extends Contract>(
  contract: C,
  options: HandlerOptions = {},
): <Handle extends HandlerMethod<C>>(target: object, name: string | symbol, method: TypedPropertyDescriptor<Handle>) => void {
  return (_target, _name, { value }) => {
    if (value === undefined) return
    handlings.set(value, [...(handlings.get(value) ?? []), { contract, options }])
  }
}

/** What was said with `@On` about a method. */
export function handlingsOf(method: unknown): readonly Handling[] {
  return typeof method === 'function' ? (handlings.get(method) ?? []) : []
}
