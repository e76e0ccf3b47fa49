import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const CANDIDATES = [fileURLToPath(new URL('../../node_modules/.cache/promtool/usr/bin/promtool', import.meta.url)), '/usr/bin/promtool']
const found = CANDIDATES.find((path) => existsSync(path))

/** Is Prometheus' promtool here? Where it has to be (CI, which may fetch it), its absence is a failure of the tests that need it. */
export const promtoolIsHere: boolean = found !== undefined || (process.env.CI === 'true' && process.getuid?.() === 0)

/** Runs it; answers what it printed. */
export function promtool(...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    execFile(found ?? (CANDIDATES.at(-1) as string), args, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code) || 1, output: stdout + stderr + (error === null ? '' : error.message) }),
    )
  })
}
