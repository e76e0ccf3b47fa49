import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { CONFIG_NAMES } from '../load-config.ts'

/** What holds no sources of the user's. */
const IGNORED = new Set(['node_modules', 'dist', 'coverage'])

/** Every folder below `root`, itself included, that may hold sources. */
export async function sourceFolders(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { withFileTypes: true })
  const inner = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && !IGNORED.has(entry.name))
  const deeper = await Promise.all(inner.map((entry) => sourceFolders(join(root, entry.name))))
  return [root, ...deeper.flat()]
}

/** Every configuration below `root`, one a folder. */
export async function findConfigs(root: string): Promise<readonly string[]> {
  const folders = await sourceFolders(root)
  const found = await Promise.all(
    folders.map(async (folder) => {
      const names = await readdir(folder)
      const name = CONFIG_NAMES.find((candidate) => names.includes(candidate))
      return name === undefined ? [] : [join(folder, name)]
    }),
  )
  return found.flat().sort()
}
