/** `npm start` in this folder: see README.md. */
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { CITIES } from './cities.ts'
import { Interrupted, UnknownArgument } from './errors.ts'
import { keepCities } from './keep-cities.ts'

/** Between two plain lines of progress, in milliseconds. */
const PROGRESS_EVERY = 2_000

const { once, json, cities } = options()
const output = json ? process.stderr : process.stdout
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stopping.abort(new Interrupted({ signal }))
    process.exitCode ??= 128 + constants.signals[signal]
  })
}

let progressShown = false
let saidAt = 0
function say(text: string): void {
  output.write(`${progressShown ? '\r\u001b[2K' : ''}${text}\n`)
  progressShown = false
}
/** On a terminal one line that counts, elsewhere a line now and then. */
function progress(what: string, done: number, of: number): void {
  const line = `  ${what}: ${done.toLocaleString('en')} of ${of.toLocaleString('en')}`
  if (output.isTTY) {
    output.write(`\r\u001b[2K${line.slice(0, (output.columns || 80) - 1)}`)
    progressShown = true
  } else if (performance.now() - saidAt > PROGRESS_EVERY) {
    saidAt = performance.now()
    output.write(`${line}\n`)
  }
}

try {
  const figures = await keepCities({
    seed: 2026,
    cities,
    installSeconds: Number(process.env.COMITY_INSTALL_SECONDS ?? 0),
    signal: stopping.signal,
    say,
    progress,
    async onEqual({ ok }, urls) {
      process.exitCode = ok ? 0 : 1
      if (once || !output.isTTY) return
      say(`Both go on. Change "cities" in ${urls.atlas}\nand look at "atlas_city" in ${urls.travel} (psql). Ctrl-C ends everything.`)
      while (!stopping.signal.aborted) await delay(100)
    },
  })
  if (json) process.stdout.write(`${JSON.stringify(figures)}\n`)
} catch (error) {
  process.exitCode ??= 1
  const { message } = error as Error
  process.stderr.write(`\n${message}\n`)
  if (json) process.stdout.write(`${JSON.stringify({ example: 'existing-database', ok: false, error: message })}\n`)
}

function options(): { readonly once: boolean; readonly json: boolean; readonly cities: number } {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        cities: { type: 'string', default: String(CITIES) },
      },
    })
    const cities = /^\d+$/.test(values.cities) ? Number(values.cities) : 0
    if (cities < 1000 || cities > CITIES) throw new RangeError(`--cities ${values.cities} is no number from 1000 to ${CITIES}`)
    return { ...values, cities }
  } catch (error) {
    process.stderr.write(`${new UnknownArgument({ problem: (error as Error).message }).message}\n`)
    process.exit(2)
  }
}
