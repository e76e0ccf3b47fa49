/** The command line, as a user would type it: `comity <command> --config <file>`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CommandFailed } from './errors.ts'

const bin = join(dirname(createRequire(import.meta.url).resolve('@comity/cli/package.json')), 'bin/comity.mjs')
/** The source: the command line reads TypeScript as it is. */
const config = fileURLToPath(new URL('../src/comity.config.ts', import.meta.url))
/** Milliseconds. */
const STOP_WITHIN = 15_000
const SAID_BYTES = 4_000

export interface Running extends AsyncDisposable {
  readonly pid: number
  /** Resolves when it has said so on its log. */
  said(text: string): Promise<void>
  /** Resolves when it has ended by itself, with exit code 0. */
  readonly done: Promise<void>
}

export function comity(args: readonly string[], env: Readonly<Record<string, string>>): Running {
  const child = spawn(process.execPath, [bin, ...args, '--config', config], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const command = args.join(' ')
  let output = ''
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-SAID_BYTES)
      for (const look of waiting) look()
    })
  }
  const ended = endOf(child)
  const done = ended.then((how) => {
    if (how !== 'code 0') throw new CommandFailed({ command, how, said: output.trim() })
  })
  done.catch(() => undefined)

  return {
    pid: child.pid ?? 0,
    done,
    said(text) {
      const heard = new Promise<void>((resolve) => {
        const look = (): void => {
          if (output.includes(text)) resolve()
        }
        waiting.add(look)
        look()
      })
      const unheard = ended.then((how) => {
        throw new CommandFailed({ command, how, said: output.trim() })
      })
      return Promise.race([heard, unheard])
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      const hurry = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN)
      await ended
      clearTimeout(hurry)
    },
  }
}

/** Ends `comity run` when this process is gone before it could do so itself: reads their pids, and kills them at the end of its input. */
export function watchOver(running: readonly Running[]): Disposable {
  const script = 'pids=; while read -r pid; do pids="$pids $pid"; done; kill -KILL $pids'
  const watchdog = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  watchdog.unref()
  watchdog.stdin.on('error', () => undefined) // somebody has killed it
  for (const { pid } of running) watchdog.stdin.write(`${pid}\n`)
  return { [Symbol.dispose]: () => void watchdog.kill('SIGKILL') }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(signal ?? `code ${code}`))
  })
}
