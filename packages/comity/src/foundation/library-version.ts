import { readFileSync } from 'node:fs'

let version: string | undefined

/** Of this package, e.g. `0.1.0`; from `src` and from `dist` alike. */
export function libraryVersion(): string {
  version ??= (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version
  return version
}
