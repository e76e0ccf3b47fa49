/**
 * `node scripts/complete-lock.mjs`, after `npm install`: adds to package-lock.json the packages for other platforms that npm left out, because
 * the registry in use did not have them. Without them `npm ci` refuses the lock. With `--check` it only says whether some are missing.
 * The entries have no integrity: it is not known here; npm fills it in where it installs them.
 */
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('../package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))
const missing = {}

for (const [place, { optionalDependencies, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies ?? {})) {
    if (!isLocked(place, name)) missing[`node_modules/${name}`] = { version, ...platformOf(name), ...(dev ? { dev } : {}), optional: true }
  }
}

const names = Object.keys(missing).map((place) => place.slice('node_modules/'.length))
if (names.length > 0 && process.argv.includes('--check')) {
  process.stderr.write(`package-lock.json lacks ${names.join(', ')}\n  What to do: node scripts/complete-lock.mjs\n`)
  process.exit(1)
}
if (names.length > 0) {
  const [own, ...installed] = Object.entries(lock.packages)
  lock.packages = Object.fromEntries([own, ...[...installed, ...Object.entries(missing)].sort(([a], [b]) => a.localeCompare(b, 'en'))])
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
  process.stdout.write(`added ${names.join(', ')}\n`)
}

function isLocked(place, name) {
  for (let at = place; ; at = at.includes('/') ? at.slice(0, at.lastIndexOf('/')) : '') {
    if (lock.packages[at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`]) return true
    if (at === '') return false
  }
}

/** Such packages are named by what they run on, e.g. `binding-linux-arm-musleabihf`. */
function platformOf(name) {
  const words = name.split('/').at(-1).split('-')
  const os = words.find((word) => ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'].includes(word))
  const cpu = words.find((word) => ['arm', 'arm64', 'ia32', 'loong64', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'].includes(word))
  if (!cpu || (!os && cpu !== 'wasm32'))
    throw new TypeError(`the platform of ${name} can not be read from its name: add it to package-lock.json by hand`)
  const libc = os === 'linux' ? (words.some((word) => word.startsWith('musl')) ? ['musl'] : ['glibc']) : undefined
  return { cpu: [cpu], ...(libc ? { libc } : {}), ...(os ? { os: [os] } : {}) }
}
