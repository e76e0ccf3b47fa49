import type { DiscoveryService, MetadataScanner } from '@nestjs/core'
import { HandlerNotSingleton } from './errors.ts'
import { type Handling, handlingsOf } from './on.ts'

export interface FoundHandler extends Handling {
  /** `Class.method`, for messages. */
  readonly label: string
  readonly handle: (message: unknown, context: unknown) => Promise<void> | void
}

/** Every method of a provider or controller that says `@On`, bound to its instance. */
export function findHandlers(discovery: DiscoveryService, scanner: MetadataScanner): readonly FoundHandler[] {
  const found: FoundHandler[] = []
  const seen = new Set<unknown>()
  for (const wrapper of [...discovery.getProviders(), ...discovery.getControllers()]) {
    const singleton = wrapper.isDependencyTreeStatic() && !wrapper.isTransient
    const instance: unknown = singleton ? wrapper.instance : undefined
    // What a factory or a value provides has no class of its own in the wrapper, and its instance has.
    const prototype: unknown = typeof instance === 'object' && instance !== null ? Object.getPrototypeOf(instance) : classOf(wrapper)
    if (typeof prototype !== 'object' || prototype === null) continue
    if (instance !== undefined && seen.has(instance)) continue // useExisting: a second name of the same instance
    seen.add(instance)
    for (const name of scanner.getAllMethodNames(prototype)) {
      const method = (prototype as Record<string, unknown>)[name]
      for (const handling of handlingsOf(method)) {
        const label = `${prototype.constructor.name}.${name}`
        if (instance === undefined) throw new HandlerNotSingleton({ handler: label })
        found.push({ ...handling, label, handle: (method as FoundHandler['handle']).bind(instance) })
      }
    }
  }
  return found
}

function classOf(wrapper: { readonly metatype: unknown; readonly inject?: unknown }): unknown {
  const isClass = typeof wrapper.metatype === 'function' && !wrapper.inject
  return isClass ? (wrapper.metatype as { readonly prototype: unknown }).prototype : undefined
}
