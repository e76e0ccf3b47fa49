import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Starts a TypeScript file as a process of its own, for tests that kill or stop one. Workspaces resolve to their sources. */
export function spawnTypeScript(file: URL, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const hooks = new URL('../../scripts/typescript.mjs', import.meta.url)
  return spawn(process.execPath, ['--import', hooks.href, fileURLToPath(file), ...args], options)
}
