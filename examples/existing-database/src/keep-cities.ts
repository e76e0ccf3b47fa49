import { setTimeout as delay } from 'node:timers/promises'
import { launchPostgres } from '@comity/embedded-postgres'
import type { TeamStatus } from 'comity'
import pg from 'pg'
import { CITIES, copyCities, table } from './cities.ts'
import { atlas, travel } from './comity.config.ts'
import { comity, type Running, watchOver } from './comity-command.ts'
import { type Comparison, compareRows } from './compare.ts'
import { TooSlow } from './errors.ts'
import { measureLag } from './measure-lag.ts'
import { type Changes, changeCities } from './random-changes.ts'

/** Of plain SQL for each city, while they are copied. */
const TRANSACTIONS_PER_CITY = 3_000 / CITIES
const LAG_SAMPLES = 50
/** Share of the cities that counts as all of them: the changes delete some before they arrive. */
const NEARLY_ALL = 0.95
const WITHIN_SECONDS = 120
/** Between two looks, in milliseconds. */
const LOOK_EVERY = 250

/** What `--json` prints. Rates in rows per second. */
export interface Figures {
  readonly example: 'existing-database'
  readonly ok: boolean
  readonly seconds: number
  readonly installSeconds: number
  readonly postgres: string
  /** Rows that COPY wrote into the table, and rows at the end. */
  readonly copied: number
  readonly rows: number
  /** Meanwhile, by plain SQL. */
  readonly changes: Changes
  /** `copy`: into the table, before it is captured; `flow`: into the other database, from when both teams run, while the changes are made. */
  readonly rates: { readonly copy: number; readonly flow: number }
  /** From a single COMMIT until the row can be read in the copy, when everything has arrived. */
  readonly lagMs: { readonly p50: number; readonly p99: number; readonly samples: number }
  readonly comparison: Comparison
}

export interface Options {
  readonly seed: number
  /** How many of the 135,233. */
  readonly cities: number
  readonly installSeconds: number
  readonly signal: AbortSignal
  say(text: string): void
  /** Something takes long: how much of it is done. */
  progress(what: string, done: number, of: number): void
  /** Told before everything ends, with the URLs of both databases. */
  readonly onEqual?: (figures: Figures, urls: { readonly atlas: string; readonly travel: string }) => Promise<void>
}

export async function keepCities({ seed, cities, installSeconds, signal, say, progress, onEqual }: Options): Promise<Figures> {
  const started = performance.now()
  const transactions = Math.round(cities * TRANSACTIONS_PER_CITY)
  await using postgres = await launchPostgres()
  signal.throwIfAborted()
  const urls = {
    ATLAS_URL: await postgres.createDatabase('atlas'),
    TRAVEL_URL: await postgres.createDatabase('travel'),
    BUS_URL: await postgres.createDatabase('bus'),
  }
  const owner = poolOf(urls.ATLAS_URL)
  const copy = poolOf(urls.TRAVEL_URL)
  await using _pools = closing(owner, copy)
  await owner.query(table)
  const client = await owner.connect()
  const filled = await copyCities(client, cities)
  say(
    `Postgres ${postgres.version} (pid ${postgres.pid}); COPY wrote ${filled.rows.toLocaleString('en')} cities into an ordinary table of Atlas.`,
  )

  for (const command of ['migrate', 'provision']) {
    await using once = comity([command], urls)
    await once.done
    signal.throwIfAborted()
  }
  say('comity migrate has captured the table and made the copy, comity provision the topic and the subscription.')

  await using relaying = comity(['run', '--team', 'atlas'], urls)
  await using consuming = comity(['run', '--team', 'travel'], urls)
  using _watchdog = watchOver([relaying, consuming])
  await Promise.all([relaying.said('running'), consuming.said('running')])
  signal.throwIfAborted()
  say(`comity run --team atlas (pid ${relaying.pid}) and comity run --team travel (pid ${consuming.pid}) are running.`)

  const begun = performance.now()
  const changes: Changes = { transactions: 0, rows: 0, rolledBack: 0 }
  const changing = changeCities(client, { seed, transactions, signal }, changes).finally(() => client.release())
  changing.catch(() => undefined)
  await using watched = watching(urls)
  const until = (what: string, happened: () => Promise<boolean>): Promise<void> =>
    Promise.race([waitUntil(what, happened, signal, watched.summary), endedTooEarly(relaying), endedTooEarly(consuming)])

  let arrived = 0
  await until('the cities reach Travel', async () => {
    arrived = (await copy.query<{ count: number }>('select count(*)::int as count from atlas_city')).rows[0]?.count ?? 0
    progress(`cities in Travel (${changes.rows.toLocaleString('en')} rows changed)`, arrived, filled.rows)
    return arrived >= filled.rows * NEARLY_ALL
  })
  const flow = rate(arrived, performance.now() - begun)
  await changing
  await until('the copy is ready', watched.ready)
  await until('the changes reach Travel', watched.settled)
  say(
    `Travel has been filled with what was there before Comity, at ${flow.toLocaleString('en')} rows/s; ${changes.rows.toLocaleString('en')} rows were changed meanwhile.`,
  )

  const lags = await measureLag(owner, copy, LAG_SAMPLES)
  const lagMs = { p50: tenths(percentile(lags, 0.5)), p99: tenths(percentile(lags, 0.99)), samples: lags.length }
  say(`A single change can be read ${lagMs.p50} ms after its COMMIT (median of ${lags.length}; p99 ${lagMs.p99} ms).`)

  const comparison = await compareRows(
    'cities: Atlas and the copy of Travel',
    1,
    { database: owner, sql: 'select city_id, name, country, population, feature_code from cities' },
    { database: copy, sql: 'select city_id, name, country, population, feature_code from atlas_city' },
  )
  const { rows, mismatches, example } = comparison
  say(`Compared row by row: ${rows.toLocaleString('en')} rows, ${mismatches} differ${example === undefined ? '' : `: ${example}`}.`)
  const figures: Figures = {
    example: 'existing-database',
    ok: mismatches === 0 && rows > 0 && changes.transactions + changes.rolledBack === transactions,
    seconds: seconds(performance.now() - started),
    installSeconds,
    postgres: postgres.version,
    copied: filled.rows,
    rows,
    changes,
    rates: { copy: rate(filled.rows, filled.ms), flow },
    lagMs,
    comparison,
  }
  await onEqual?.(figures, { atlas: urls.ATLAS_URL, travel: urls.TRAVEL_URL })
  return figures
}

interface Watched extends AsyncDisposable {
  /** Has the copy been filled with what its owner had? */
  ready(): Promise<boolean>
  /** Is everything announced in the copy? */
  settled(): Promise<boolean>
  summary(): Promise<string>
}

/** What `comity status` shows, of teams that run elsewhere. */
function watching(urls: { readonly ATLAS_URL: string; readonly TRAVEL_URL: string; readonly BUS_URL: string }): Watched {
  const owning = atlas.with({ database: urls.ATLAS_URL, transport: urls.BUS_URL })
  const keeping = travel.with({ database: urls.TRAVEL_URL, transport: urls.BUS_URL })
  const look = async (): Promise<{ readonly pending: number; readonly lag: number | null | undefined }> => {
    const [from, to]: TeamStatus[] = await Promise.all([owning.status(), keeping.status()])
    return { pending: from?.outbox.pending ?? 0, lag: to?.subscriptions[0]?.lag }
  }
  return {
    async ready() {
      return (await keeping.status()).replicas[0]?.backfill?.state === 'ready'
    },
    async settled() {
      const { pending, lag } = await look()
      return pending === 0 && lag === 0
    },
    async summary() {
      const { pending, lag } = await look()
      return `${pending} changes are to be sent, ${lag} to be applied`
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([owning.stop(), keeping.stop()])
    },
  }
}

async function waitUntil(
  what: string,
  happened: () => Promise<boolean>,
  signal: AbortSignal,
  summary: () => Promise<string>,
): Promise<void> {
  for (const started = performance.now(); !(await happened()); await delay(LOOK_EVERY)) {
    signal.throwIfAborted()
    if (performance.now() - started > WITHIN_SECONDS * 1000) throw new TooSlow({ what, seconds: WITHIN_SECONDS, state: await summary() })
  }
}

/** Rejects when a command ends with an error; never resolves. */
function endedTooEarly(running: Running): Promise<never> {
  return running.done.then(() => new Promise<never>(() => undefined))
}

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 3 })
  pool.on('error', () => undefined) // the server ends before us when something goes wrong
  return pool
}

function closing(...pools: readonly pg.Pool[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(pools.map((pool) => pool.end()))
    },
  }
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Per second. */
function rate(count: number, ms: number): number {
  return Math.round((count * 1000) / ms)
}

function seconds(ms: number): number {
  return tenths(ms / 1000)
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10
}
