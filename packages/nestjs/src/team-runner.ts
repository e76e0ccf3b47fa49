import type { OnApplicationBootstrap, OnModuleDestroy, OnModuleInit } from '@nestjs/common'
import type { DiscoveryService, MetadataScanner } from '@nestjs/core'
import type { Team } from 'comity'
import { HandlerOfNoTeam, ModuleGivenTwice } from './errors.ts'
import { findHandlers } from './find-handlers.ts'

export interface TeamRunnerOptions {
  /** Of the module. */
  readonly name: string | undefined
  readonly start: boolean
}

/**
 * Runs one team for the life of the application.
 *
 * made → (onModuleInit) declared: its `@On` methods are handlers → (onApplicationBootstrap) started → (onModuleDestroy) stopped.
 * What fails on the way fails the application's start. It stops in the first of Nest's hooks of the end, while what handlers use is still open:
 * a pool belongs into onApplicationShutdown.
 */
export class TeamRunner implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy {
  readonly name: string | undefined
  readonly #team: Team<unknown>
  readonly #start: boolean
  readonly #discovery: DiscoveryService
  readonly #scanner: MetadataScanner

  constructor(team: Team<unknown>, { name, start }: TeamRunnerOptions, discovery: DiscoveryService, scanner: MetadataScanner) {
    this.name = name
    this.#team = team
    this.#start = start
    this.#discovery = discovery
    this.#scanner = scanner
  }

  onModuleInit(): void {
    const runners = this.#discovery.getProviders().map(({ instance }) => instance as unknown)
    const names = runners.filter((runner) => runner instanceof TeamRunner).map(({ name }) => name)
    if (names.filter((name) => name === this.name).length > 1) throw new ModuleGivenTwice({ module: called(this.name) })
    for (const { contract, options, label, handle } of findHandlers(this.#discovery, this.#scanner)) {
      const { team, ...onOptions } = options
      if (!names.includes(team)) throw new HandlerOfNoTeam({ handler: label, module: called(team), known: names.map(called).join(', ') })
      if (team === this.name) this.#team.on(contract, handle, onOptions)
    }
  }

  async onApplicationBootstrap(): Promise<void> {
    if (this.#start) await this.#team.start()
  }

  async onModuleDestroy(): Promise<void> {
    await this.#team.stop()
  }
}

function called(name: string | undefined): string {
  return name === undefined ? 'without a name' : `"${name}"`
}
