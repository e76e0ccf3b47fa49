import { readdir, readFile } from 'node:fs/promises'
import type { Migration } from './migrate.ts'

/**
 * The `.sql` files of a folder, by name. The compiler copies no `.sql`; so name the folder in a way that is right from `src`
 * and from `dist`: `new URL('../../migrations/', import.meta.url)` in a file of `src/<layer>/` (docs/decisions/0001).
 */
export async function loadMigrations(folder: URL): Promise<readonly Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort()
  return Promise.all(
    files.map(async (file) => ({ name: file.slice(0, -'.sql'.length), sql: await readFile(new URL(file, folder), 'utf8') })),
  )
}
