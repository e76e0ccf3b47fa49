import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const bin = fileURLToPath(new URL('../../bin/comity.mjs', import.meta.url))

/** A configuration of test/fixtures. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url))
}

/** Compiles what changed, which `npm test` has done: these tests run what users install. */
export async function buildCli(): Promise<void> {
  if (process.env.COMITY_BUILT === '1') return
  const tsc = spawn(process.execPath, ['node_modules/typescript/bin/tsc', '-b', 'packages/cli', 'packages/embedded-postgres'], {
    cwd: root,
  })
  const output = collect(tsc)
  const [code] = (await once(tsc, 'close')) as [number]
  expect(code, output.all()).toBe(0)
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Started {
  readonly child: ChildProcess
  /** Resolves with the first line of either stream that matches, also one that came before; rejects when the process ends without it. */
  line(pattern: RegExp, options?: { readonly after?: number }): Promise<string>
  /** Lines so far. */
  readonly lines: readonly string[]
  readonly ended: Promise<Ended>
  /** Sends the signal, and waits for the end. */
  stop(signal: NodeJS.Signals): Promise<Ended>
}

export interface Environment {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Runs a command to its end. */
export function comity(args: readonly string[], options: Environment = {}): Promise<Ended> {
  return startComity(args, options).ended
}

export function startComity(args: readonly string[], options: Environment = {}): Started {
  const env = { ...process.env, NO_COLOR: '1', ...options.env }
  const child = spawn(process.execPath, [bin, ...args], { cwd: options.cwd ?? root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = collect(child)
  const lines: string[] = []
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      for (const listener of listeners) listener()
    })
  }
  const ended = once(child, 'close').then(([code, signal]): Ended => ({ code, signal, stdout: output.stdout(), stderr: output.stderr() }))

  function line(pattern: RegExp, { after = 0 }: { readonly after?: number } = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = lines.slice(after).find((one) => pattern.test(one))
        if (found === undefined) return
        listeners.delete(look)
        resolve(found)
      }
      listeners.add(look)
      void ended.then(() => reject(new Error(`ended without ${pattern}:\n${lines.join('\n')}`)))
      look()
    })
  }
  return {
    child,
    line,
    lines,
    ended,
    stop(signal) {
      child.kill(signal)
      return ended
    },
  }
}

function collect(child: ChildProcess): { stdout(): string; stderr(): string; all(): string } {
  let [out, err] = ['', '']
  child.stdout?.on('data', (chunk) => {
    out += chunk
  })
  child.stderr?.on('data', (chunk) => {
    err += chunk
  })
  return { stdout: () => out, stderr: () => err, all: () => out + err }
}
