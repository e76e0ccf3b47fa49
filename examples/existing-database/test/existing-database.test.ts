import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { expect, test } from 'vitest'
import { full } from '../../../test/support/full.ts'
import { freshDatabase } from '../../../test/support/postgres.ts'
import { compareRows } from '../src/compare.ts'

const folder = fileURLToPath(new URL('..', import.meta.url))
const start = fileURLToPath(new URL('../../../scripts/start.mjs', import.meta.url))

interface Told {
  out: string
  err: string
}

function run(args: readonly string[]): { readonly child: ChildProcess; readonly told: Told } {
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const told: Told = { out: '', err: '' }
  child.stdout?.on('data', (text: Buffer) => (told.out += text))
  child.stderr?.on('data', (text: Buffer) => (told.err += text))
  return { child, told }
}

/** Of all 135,233 the short form copies fewer, and changes fewer meanwhile: the same steps and the same comparison, less work. */
const [CITIES, TRANSACTIONS] = full ? [135_233, 3000] : [20_000, 444]

// What it runs is the build, for `comity` is a command; so this comes first.
test(`npm start -- --once --json: the copy of ${CITIES} cities ends equal, while plain SQL changes them`, {
  timeout: 600_000,
}, async () => {
  const { child, told } = run([start, 'existing-database', '--once', '--json', ...(full ? [] : ['--cities', String(CITIES)])])
  const [code] = await once(child, 'close')
  expect(told.out.split('\n'), told.err).toEqual([expect.stringMatching(/^\{.*\}$/), ''])
  const figures = JSON.parse(told.out)
  expect(figures, told.err).toMatchObject({ example: 'existing-database', ok: true, copied: CITIES, comparison: { mismatches: 0 } })
  expect(figures.changes.transactions + figures.changes.rolledBack).toBe(TRANSACTIONS)
  expect(figures.rows).toBe(figures.comparison.rows)
  expect(figures.rows).not.toBe(figures.copied)
  expect(code).toBe(0)
  await allEnded(told.err, 3)
})

// The story's test ends the same launcher in the short form.
const ENDINGS: readonly (readonly [string, NodeJS.Signals, number | null])[] = [
  ['Ctrl-C', 'SIGINT', 130],
  ['a crash', 'SIGKILL', null],
]
test.runIf(full).each(ENDINGS)('%s leaves no process and no server behind', { timeout: 240_000 }, async (_how, signal, expected) => {
  const { child, told } = run(['dist/main.js', '--once', '--json', ...(full ? [] : ['--cities', String(CITIES)])])
  await said(child, told, 'are running')
  child.kill(signal)
  const [code] = await once(child, 'close')
  expect(code).toBe(expected)
  await allEnded(told.err, 3)
})

test('the comparison finds one letter in one field of one row', async () => {
  const database = new pg.Pool({ connectionString: (await freshDatabase()).url })
  await database.query(
    `create table owner as select i as id, 'city ' || i as name from generate_series(1, 1000) i; create table copy as table owner`,
  )
  const side = (table: string): { database: pg.Pool; sql: string } => ({ database, sql: `select id, name from ${table}` })
  expect(await compareRows('test', 1, side('owner'), side('copy'))).toEqual({ name: 'test', rows: 1000, mismatches: 0 })
  await database.query(`update copy set name = 'City 500' where id = 500`)
  expect(await compareRows('test', 1, side('owner'), side('copy'))).toMatchObject({
    mismatches: 1,
    example: '["500","City 500"] should be ["500","city 500"]',
  })
  await database.end()
})

function said(child: ChildProcess, told: Told, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', () => told.err.includes(text) && resolve())
    child.once('close', () => reject(new Error(`it ended before it said "${text}":\n${told.err}`)))
  })
}

async function allEnded(text: string, processes: number): Promise<void> {
  const pids = [...text.matchAll(/\(pid (\d+)\)/g)].map(([, pid]) => pid as string)
  expect(pids).toHaveLength(processes)
  const alive = (): string[] => pids.filter(isAlive)
  for (const end = performance.now() + 30_000; alive().length > 0 && performance.now() < end; ) await delay(50)
  expect(alive()).toEqual([])
}

/** A process that has ended, and that no parent has collected yet, still has its pid. */
function isAlive(pid: string): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', pid], { encoding: 'utf8' })
  return stdout.trim() !== '' && !stdout.startsWith('Z')
}
