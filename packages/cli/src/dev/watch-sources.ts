import { type FSWatcher, watch } from 'node:fs'
import { join } from 'node:path'
import { sourceFolders } from './find-configs.ts'

/** What a team's code is made of; other files (logs, uploads) may change without a restart. */
const SOURCE = /\.([cm]?[jt]sx?|json|sql)$/
/** An editor saves in several steps, a checkout changes many files. Milliseconds. */
const QUIET = 150

/**
 * Tells of changed sources below `root`, all of one save at once. Each folder is watched by itself: a recursive watch would go
 * through node_modules.
 */
export async function watchSources(root: string, onChange: (paths: readonly string[]) => void): Promise<{ close(): void }> {
  const watchers = new Map<string, FSWatcher>()
  const changed = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  let closed = false

  async function watchAll(): Promise<void> {
    for (const folder of await sourceFolders(root)) {
      if (watchers.has(folder) || closed) continue
      const watcher = watch(folder, (_event, name) => note(folder, name))
      watcher.on('error', () => forget(folder))
      watchers.set(folder, watcher)
    }
  }
  function note(folder: string, name: string | null): void {
    if (name !== null) changed.add(join(folder, name))
    clearTimeout(timer)
    timer = setTimeout(() => void report(), QUIET)
  }
  async function report(): Promise<void> {
    const paths = [...changed].filter((path) => SOURCE.test(path))
    changed.clear()
    await watchAll().catch(() => undefined) // a folder may vanish while it is read; its parent tells again
    if (paths.length > 0 && !closed) onChange(paths)
  }
  function forget(folder: string): void {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }

  await watchAll()
  return {
    close() {
      closed = true
      clearTimeout(timer)
      for (const folder of [...watchers.keys()]) forget(folder)
    },
  }
}
