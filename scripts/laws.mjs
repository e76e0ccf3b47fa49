/**
 * `npm run laws -- google-pubsub --project my-project`: the transport laws against a real broker, with the credentials that this machine has.
 * Whatever they create begins with a prefix of this run's own, and is removed at the end. `--emulator host:port` tries the script itself.
 */
import { parseArgs } from 'node:util'
import { ensureInstalled, root } from './installation.mjs'
import { runStep } from './run-step.mjs'

const usage = `npm run laws -- google-pubsub --project <id> [--emulator <host:port>] [--only <words of a law>] [--patience <seconds>]`
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { project: { type: 'string' }, emulator: { type: 'string' }, only: { type: 'string' }, patience: { type: 'string' } },
})
const [broker] = positionals
if (broker !== 'google-pubsub' || !values.project) {
  console.error(`Which broker, and where?\n  What to do: ${usage}`)
  process.exit(2)
}

await ensureInstalled()
const build = await runStep('Building', process.execPath, ['node_modules/typescript/bin/tsc', '-b', 'packages/google-pubsub'], {
  cwd: root,
})
if (build.code !== 0) {
  process.stderr.write(`${build.output}\n`)
  process.exit(build.code)
}
const { transportLaws } = await import('../packages/comity/dist/testing/index.js')
const { googlePubsubGuarantees, googlePubsubTransport } = await import('../packages/google-pubsub/dist/index.js')

const prefix = `laws-${Date.now().toString(36)}-`
const patience = Number(values.patience ?? 60) * 1000
const options = {
  project: values.project,
  prefix,
  ackDeadline: '10s',
  closeGrace: '300ms',
  ...(values.emulator ? { emulator: values.emulator } : {}),
}

/** The laws speak to a test framework; this one runs them one after the other, prints, and remembers. */
const laws = []
const skipped = []
const endings = []
const made = { topics: new Set(), subscriptions: new Set() }
const api = {
  describe: (_, body) => body(),
  test: Object.assign((name, body, timeout) => laws.push({ name, body, timeout }), { skip: (name) => skipped.push(name) }),
  afterAll: (body) => endings.push(body),
}
const unbreakable = 'a service cannot be restarted from here'
transportLaws(
  {
    name: 'google-pubsub',
    guarantees: googlePubsubGuarantees,
    patience,
    skip: {
      'an acknowledged send survives a restart of the broker': unbreakable,
      'a receive goes on by itself after the broker restarted, and says so': unbreakable,
      // Needs a connection that can be cut: with a proxy between, the certificate of the service would not fit.
      'what a crashed client had not acknowledged comes again, to another': 'its connection cannot be cut from here',
      'the buckets of a receiver that died go to the others': 'its connection cannot be cut from here',
    },
    create: async () => ({
      async connect() {
        const transport = googlePubsubTransport(options)
        const { provision } = transport
        transport.provision = (plan, given) => {
          for (const { name } of plan.topics) made.topics.add(name)
          for (const { name } of plan.subscriptions) made.subscriptions.add(name)
          return provision(plan, given)
        }
        return transport
      },
      dispose: async () => undefined,
    }),
  },
  api,
)

console.log(`Laws of google-pubsub in project ${values.project}; everything is named ${prefix}…\n`)
let failures = 0
try {
  for (const { name, body, timeout } of laws) {
    if (values.only && !name.includes(values.only)) continue
    const began = performance.now()
    const error = await within(body(), timeout).then(
      () => undefined,
      (reason) => reason,
    )
    if (error) failures++
    console.log(
      `${error ? 'FAILED' : 'ok    '} ${name} (${Math.round(performance.now() - began)} ms)${error ? `\n       ${error.message}` : ''}`,
    )
  }
  for (const name of skipped) console.log(`-      ${name}`)
} finally {
  for (const end of endings) await end()
  const janitor = googlePubsubTransport(options)
  await janitor.remove({ subscriptions: [...made.subscriptions], topics: [...made.topics] })
  await janitor.close()
  console.log(`\nRemoved ${made.subscriptions.size} subscriptions and ${made.topics.size} topics.`)
}
console.log(failures === 0 ? 'Every law that was tried holds.' : `${failures} laws are broken.`)
process.exit(failures === 0 ? 0 : 1)

async function within(work, milliseconds) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over within ${milliseconds / 1000} s`)), milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
