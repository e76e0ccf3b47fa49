import type { ChildProcess } from 'node:child_process'
import { spawnTypeScript } from './typescript-process.ts'

/** The processes of a test, which are ended by kill -9: by themselves, or by it. */
export class ChildProcesses {
  readonly #file: URL
  readonly #running = new Set<ChildProcess>()

  /** @param file what each of them runs */
  constructor(file: URL) {
    this.#file = file
  }

  /** @param options what it is told, as JSON in its first argument */
  start(options: object): ChildProcess {
    const child = spawnTypeScript(this.#file, [JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#running.add(child)
    return child
  }

  /** @returns the signal that ended it */
  async ended(child: ChildProcess, kill?: 'SIGKILL'): Promise<NodeJS.Signals | null> {
    const exited =
      child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve(child.signalCode)
        : new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)))
    if (kill) child.kill(kill)
    const signal = await exited
    this.#running.delete(child)
    return signal
  }

  /** After a test, whatever became of it. */
  killAll(): void {
    for (const child of this.#running) child.kill('SIGKILL')
  }
}
