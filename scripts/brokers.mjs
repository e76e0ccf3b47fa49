/**
 * Real brokers for tests, benches and the story: Debian's nats-server and Google's own Pub/Sub emulator, each a process of its own on a free port.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { emulatorProxy } from './emulator-proxy.mjs'
import { root } from './installation.mjs'
import { runStep } from './run-step.mjs'

const CACHE = join(root, 'node_modules/.cache/brokers')
/** A Pub/Sub project is only a name to the emulator. */
const PROJECT = 'comity'
const READY_WITHIN = 30_000

const brokers = {
  nats: {
    package: 'nats-server',
    program: () => found('nats-server', [join(CACHE, 'usr/sbin/nats-server'), '/usr/sbin/nats-server']),
    command(port, directory, { config = '' }) {
      const file = join(directory, 'nats.conf')
      writeFileSync(file, `jetstream { store_dir: "${join(directory, 'jetstream')}" }\nmax_payload: 9MB\n${config}\n`)
      return [this.program(), ['-c', file, '-a', '127.0.0.1', '-p', String(port)], {}]
    },
    // Debian's 2.9 writes its files through every two minutes, and can't be told to do so at once.
    url: (port) => `nats://127.0.0.1:${port}?sync=interval`,
    isReady: (log) => log.includes('Server is ready'),
  },
  'google-pubsub': {
    package: 'google-cloud-cli-pubsub-emulator',
    program: () => (found('java', []) === undefined ? undefined : emulatorJar()),
    command(port) {
      const env = { METADATA_SERVER_DETECTION: 'none' }
      return ['java', ['-Xmx2g', '-jar', emulatorJar(), '--host=127.0.0.1', `--port=${port}`], env]
    },
    url: (port) => `google-pubsub://${PROJECT}?emulator=127.0.0.1:${port}`,
    isReady: (log) => log.includes('Server started'),
    front: emulatorProxy,
  },
}

export const brokerNames = Object.keys(brokers)
export const brokerIsHere = (name) => brokers[name].program() !== undefined || process.env.CI === 'true'

export async function fetchBroker(name) {
  const broker = brokers[name]
  if (broker.program() !== undefined) return undefined
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return `${name}: not installed; Debian's package is ${broker.package}`
  const folder = mkdtempSync(join(tmpdir(), 'comity-broker-'))
  try {
    const download = () => runStep(`Fetching ${broker.package}`, 'apt-get', ['download', '-q', broker.package], { cwd: folder })
    let fetched = await download()
    if (fetched.code !== 0) {
      await runStep('Updating the list of packages', 'apt-get', ['update', '-q'])
      fetched = await download()
    }
    const file = readdirSync(folder).find((each) => each.endsWith('.deb'))
    const unpack = `mkdir -p "$2" && dpkg-deb -x "$1" "$2"`
    const unpacked = file && (await runStep(`Unpacking ${broker.package}`, 'sh', ['-c', unpack, 'sh', join(folder, file), CACHE]))
    return unpacked?.code === 0 && broker.program() ? undefined : `${name}: ${(unpacked ?? fetched).output.trim().split('\n').at(-1)}`
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export async function launchBroker(name, options = {}) {
  const broker = brokers[name]
  if (broker.program() === undefined)
    throw new Error(`${name} cannot be started: its program is missing\n  What to do: install Debian's package ${broker.package}`)
  const directory = mkdtempSync(join(tmpdir(), `comity-${name}-`))
  const inner = await freePort()
  const front = await broker.front?.(inner)
  const port = front?.port ?? inner
  let child
  const start = async () => {
    const [command, args, env] = broker.command(inner, directory, options)
    child = spawn(command, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    await ready(child, broker, name)
  }
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  // A program that ends without a goodbye takes its broker with it.
  const orphaned = () => child.kill('SIGKILL')
  process.once('exit', orphaned)
  await start()
  return {
    name,
    url: broker.url(port),
    port,
    get pid() {
      return child.pid
    },
    kill,
    restart: start,
    async close() {
      process.off('exit', orphaned)
      front?.close()
      await kill()
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function ready(child, broker, name) {
  return new Promise((resolve, reject) => {
    let log = ''
    const timer = setTimeout(() => reject(new Error(`${name} was not ready after ${READY_WITHIN / 1000} s:\n${log}`)), READY_WITHIN)
    const read = (chunk) => {
      if (log.length < 100_000) log += chunk
      if (!broker.isReady(log)) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`${name} ended with ${code}:\n${log.slice(-2000)}`))
    })
  })
}

function found(program, places) {
  const inPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program))
  return [...places, ...inPath].find((path) => existsSync(path))
}

let jar
/** PUBSUB_EMULATOR_JAR, or wherever the Cloud SDK or Debian's package has put it. */
function emulatorJar() {
  if (jar !== undefined) return jar
  if (process.env.PUBSUB_EMULATOR_JAR) jar = process.env.PUBSUB_EMULATOR_JAR
  else jar = jarIn(join(CACHE, 'usr/lib/google-cloud-sdk')) ?? jarIn('/usr/lib/google-cloud-sdk') ?? jarIn(sdkRoot())
  return jar
}
function jarIn(sdk) {
  const folder = sdk && join(sdk, 'platform/pubsub-emulator/lib')
  if (!folder || !existsSync(folder)) return undefined
  const file = readdirSync(folder).find((name) => /^cloud-pubsub-emulator.*\.jar$/.test(name))
  return file && join(folder, file)
}
function sdkRoot() {
  try {
    return execFileSync('gcloud', ['info', '--format=value(installation.sdk_root)'], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim()
  } catch {
    return undefined
  }
}

/** A port that nobody has now; the broker takes it at once. */
async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
