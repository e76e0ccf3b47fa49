import type { DynamicModule, FactoryProvider, ModuleMetadata } from '@nestjs/common'
import { DiscoveryModule, DiscoveryService, MetadataScanner } from '@nestjs/core'
import type { Team } from 'comity'
import { NotATeam } from './errors.ts'
import { teamToken } from './inject-team.ts'
import { TeamRunner } from './team-runner.ts'

interface ModuleOptions {
  /** Needed where one application runs several teams: what `@InjectTeam` and `@On` call this one. */
  readonly name?: string
  /** Whether this process runs relay and subscriptions. Default true; false where it publishes only, or migrates. */
  readonly start?: boolean
}
export interface ComityOptions<Tx = unknown> extends ModuleOptions {
  /** Not used yet: its handlers are declared when the application starts. */
  readonly team: Team<Tx>
}
export interface ComityAsyncOptions<Tx = unknown> extends ModuleOptions {
  readonly imports?: NonNullable<ModuleMetadata['imports']>
  readonly inject?: NonNullable<FactoryProvider['inject']>
  /** Makes the team of what `inject` names: the pool that the application has anyway, its configuration. */
  readonly useFactory: (...injected: never[]) => Team<Tx> | Promise<Team<Tx>>
}

/**
 * Runs a team in a Nest application: starts it on bootstrap, stops it on `app.close()` and, with `app.enableShutdownHooks()`, on a signal.
 * Global: every module can inject the team, and handle for it.
 */
// biome-ignore lint/complexity/noStaticOnlyClass: Nest knows a module by its class
export class ComityModule {
  static forRoot<Tx>({ team, ...options }: ComityOptions<Tx>): DynamicModule {
    return moduleOf({ provide: teamToken(options.name), useFactory: () => checked(team) }, options)
  }

  /** Also for an application that is made more than once in a process (tests): each has a team of its own. */
  static forRootAsync<Tx>({ imports, inject, useFactory, ...options }: ComityAsyncOptions<Tx>): DynamicModule {
    const provider = {
      provide: teamToken(options.name),
      inject: inject ?? [],
      useFactory: async (...injected: never[]) => checked(await useFactory(...injected)),
    }
    return moduleOf(provider, options, imports)
  }
}

function moduleOf(
  team: FactoryProvider,
  { name, start = true }: ModuleOptions,
  imports: ComityAsyncOptions['imports'] = [],
): DynamicModule {
  const runner: FactoryProvider = {
    provide: TeamRunner,
    inject: [team.provide, DiscoveryService, MetadataScanner],
    useFactory: (own: Team<unknown>, discovery: DiscoveryService, scanner: MetadataScanner) =>
      new TeamRunner(own, { name, start }, discovery, scanner),
  }
  return { module: ComityModule, global: true, imports: [DiscoveryModule, ...imports], providers: [team, runner], exports: [team] }
}

function checked(team: unknown): unknown {
  const { name, on, start } = (team ?? {}) as Partial<Team>
  if (typeof name === 'string' && typeof on === 'function' && typeof start === 'function') return team
  throw new NotATeam({ given: team === null ? 'null' : typeof team })
}
