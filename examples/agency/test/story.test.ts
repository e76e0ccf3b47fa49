import { type ChildProcess, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { full, shortAndFull } from '../../../test/support/full.ts'
import { spawnTypeScript } from '../../../test/support/typescript-process.ts'

/** Of 2,000, which the story has by itself, the short form takes fewer: the same steps and comparisons, less work. */
const CUSTOMERS = full ? 2000 : 200
const MAIN = new URL('../src/main.ts', import.meta.url)

/** The story as a process, and what it has written so far. */
function start(args: readonly string[]): { readonly child: ChildProcess; readonly told: { out: string; err: string } } {
  const child = spawnTypeScript(MAIN, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const told = { out: '', err: '' }
  child.stdout?.on('data', (text: Buffer) => (told.out += text))
  child.stderr?.on('data', (text: Buffer) => (told.err += text))
  return { child, told }
}

test('npm start -- --once --json: one line with figures, every comparison holds', { timeout: 900_000 }, async () => {
  const { child, told } = start(full ? ['--once', '--json'] : ['--once', '--json', '--customers', String(CUSTOMERS)])
  const [code] = await once(child, 'close')
  expect(told.out.split('\n'), told.err).toEqual([expect.stringMatching(/^\{.*\}$/), ''])
  const figures = JSON.parse(told.out)
  // What differs comes first: of a long message a report shows the beginning and the end.
  const differs = [...told.err.matchAll(/✗.*(\n {4,}.*)*/g)].join('\n')
  expect(figures, `${figures.error ?? differs}\n${told.err}`).toMatchObject({
    story: 'agency',
    ok: true,
    phoneNumbersOutside: 0,
    superuserSessions: 0,
  })
  expect(figures.comparisons).toHaveLength(7)
  for (const { rows, mismatches } of figures.comparisons) {
    expect(rows).toBeGreaterThan(0)
    expect(mismatches).toBe(0)
  }
  expect(figures.parked.keys).toBe(1)
  expect(figures.parked.messages).toBeGreaterThanOrEqual(2)
  expect(figures.parked.othersMeanwhile).toBeGreaterThan(CUSTOMERS / 2)
  expect(figures.joined.rows).toBeGreaterThan(CUSTOMERS / 2)
  const { copies, drift } = figures.audited
  expect(copies.map(({ verdict }: { verdict: string }) => verdict)).toEqual(['true', 'true'])
  expect(drift).toEqual({ corrupted: expect.any(String), found: [{ key: drift.corrupted, class: 'different' }], repaired: true })
  expect(figures.killed.missedRows).toBeGreaterThan(0)
  expect(code).toBe(0)
  expect(processesIn(told.err)).toHaveLength(6) // Marketing twice, and Billing
  await allEnded(told.err)
})

const ENDINGS = shortAndFull<readonly [string, NodeJS.Signals, number | null]>(
  [['a crash', 'SIGKILL', null]],
  [
    ['Ctrl-C', 'SIGINT', 130],
    ['SIGTERM', 'SIGTERM', 143],
  ],
)
test.each(ENDINGS)('%s leaves no process and no server behind', { timeout: 240_000 }, async (_how, signal, expected) => {
  const { child, told } = start(['--once', '--json'])
  await said(child, told, 'CRM imports')
  child.kill(signal)
  const [code] = await once(child, 'close')
  expect(code).toBe(expected)
  expect(processesIn(told.err)).toHaveLength(4)
  await allEnded(told.err)
})

test.each(['--oncee', '--customers 0'])('%s, which it can not take, is refused with what to do', async (args) => {
  const { child, told } = start(args.split(' '))
  expect(await once(child, 'close')).toEqual([2, null])
  expect(told.err).toContain('What to do: npm start -- [--once] [--json]')
  expect(told.out).toBe('')
})

function said(child: ChildProcess, told: { readonly err: string }, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stderr?.on('data', () => told.err.includes(text) && resolve())
    child.once('close', () => reject(new Error(`it ended before it said "${text}":\n${told.err}`)))
  })
}

/** Pids of the server and of the teams, as the story names them. */
function processesIn(text: string): number[] {
  return [...text.matchAll(/\(pid\s+(\d+)\)/g)].map(([, pid]) => Number(pid))
}

async function allEnded(text: string): Promise<void> {
  const pids = processesIn(text)
  const alive = (): number[] => pids.filter(isAlive)
  for (const end = performance.now() + 30_000; alive().length > 0 && performance.now() < end; ) await delay(50)
  expect(alive()).toEqual([])
}

/** A process that has ended, and that no parent has collected yet, still has its pid. */
function isAlive(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
  return stdout.trim() !== '' && !stdout.startsWith('Z')
}
