import type { DatabaseOption } from '../adapters/as-database.ts'
import type { Logger } from '../foundation/index.ts'
import type { PostgresDatabase } from '../postgres/index.ts'
import { connect } from '../postgres/index.ts'
import type { Team } from '../team/team-surface.ts'
import { type MemoryBus, memoryBus } from '../transport/index.ts'
import { testDatabase } from './test-database.ts'

/** A broker in memory for the teams of one test. */
export interface TestBus {
  readonly memory: MemoryBus
  /** The teams that were started on it. */
  readonly teams: Set<Team<unknown>>
}

export function testBus(): TestBus {
  return { memory: memoryBus(), teams: new Set() }
}

export interface TestTeamOptions<Tx> {
  readonly bus: TestBus
  /** Runs before Comity's own migration: creates the tables that the team owns. */
  readonly setup?: (db: PostgresDatabase) => Promise<unknown>
  /** The team's own library on the test's database. Default: plain `pg`. */
  readonly database?: (url: string) => DatabaseOption<Tx>
  /** A database to use instead of a fresh one. */
  readonly url?: string
  readonly logger?: Logger
}

/** A team that runs in this test: real database, memory transport. */
export interface TestTeam<Tx> extends AsyncDisposable {
  readonly team: Team<Tx>
  readonly url: string
  /** Plain SQL in the team's database, as its owner. */
  readonly db: PostgresDatabase
  /** Resolves when everything that any team of the bus has committed is sent, and everything sent has ended; what waits is counted. */
  caughtUp(): Promise<{ readonly waiting: number }>
}

/**
 * @example
 * const bus = testBus()
 * await using crm = await testTeam(crmConfig, { bus, setup: (db) => db.query('create table customers …') })
 * await using marketing = await testTeam(marketingConfig, { bus })
 * await crm.db.query(`insert into customers …`)
 * await marketing.caughtUp()
 */
export async function testTeam<Tx>(config: Team<Tx>, options: TestTeamOptions<Tx>): Promise<TestTeam<Tx>> {
  const { bus } = options
  const url = options.url ?? (await testDatabase(config.name))
  const db = connect(url)
  await options.setup?.(db)
  const transport = bus.memory.connect()
  const started = config.with<Tx>({
    ...config.options,
    database: options.database?.(url) ?? (url as DatabaseOption<Tx>),
    transport,
    autoMigrate: true,
    allowUnsafe: true,
    ...(options.logger === undefined ? {} : { logger: options.logger }),
  })
  await started.start()
  const team = started as Team<unknown>
  bus.teams.add(team)

  async function caughtUp(): Promise<{ waiting: number }> {
    // A handler may publish: only a round in which nobody had anything new to say is the last.
    for (let before = -1; ; ) {
      let said = 0
      for (const other of bus.teams) said += await other.drained()
      let waiting = 0
      for (const other of bus.teams) {
        const answer = await other.caughtUp()
        if (other === team) waiting = answer.waiting
      }
      if (said === before) return { waiting }
      before = said
    }
  }

  return {
    team: started,
    url,
    db,
    caughtUp,
    async [Symbol.asyncDispose]() {
      bus.teams.delete(team)
      await started.stop()
      await transport.close()
      await db.close()
    },
  }
}
