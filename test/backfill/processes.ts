import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Fault } from '../../packages/comity/src/testing/index.ts'
import { spawnTypeScript } from '../support/typescript-process.ts'
import type { Side } from './sides.ts'
import type { TeamProcessOptions } from './team-process.ts'

/** One process of each side; a killed one is replaced. */
export class Processes {
  readonly faults: Fault[] = []
  readonly #running = new Map<Side, ChildProcess>()

  start(side: Side, options: Omit<TeamProcessOptions, 'side'>): void {
    const child = spawnTypeScript(new URL('team-process.ts', import.meta.url), [JSON.stringify({ side, ...options })], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#running.set(side, child)
  }

  /** By kill -9, wherever it is. */
  async restart(side: Side, start: () => void): Promise<void> {
    const child = this.#running.get(side) as ChildProcess
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    start()
  }

  kill(): void {
    for (const child of this.#running.values()) child.kill('SIGKILL')
  }
}
