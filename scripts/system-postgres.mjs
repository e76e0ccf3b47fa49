import { existsSync } from 'node:fs'
import { runStep } from './run-step.mjs'

const BINARY = '/usr/lib/postgresql/15/bin/postgres'
const DEBIAN_PACKAGE = 'postgresql-15'

/**
 * The tests run on Postgres 15 too, the system's. Where it is missing and we may install it (root, apt), it is; else they show that they
 * skip it, and with CI=true they fail.
 */
export async function installSystemPostgres() {
  if (existsSync(BINARY) || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = ['install', '-y', '-q', '--no-install-recommends', DEBIAN_PACKAGE]
  const first = await runStep(`Installing ${DEBIAN_PACKAGE}`, 'apt-get', install, { env })
  if (first.code === 0) return
  await runStep('Updating the list of packages', 'apt-get', ['update', '-q'], { env })
  const second = await runStep(`Installing ${DEBIAN_PACKAGE}`, 'apt-get', install, { env })
  if (second.code !== 0) process.stderr.write(`${second.output}\n`)
}
