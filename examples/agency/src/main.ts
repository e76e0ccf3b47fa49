/** `npm start`: tells the story of the agency. See README.md. */
import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { Interrupted, UnknownArgument } from './story/errors.ts'
import { narrator } from './story/narrator.ts'
import { tellStory } from './story/story.ts'

/** Without `--customers`. */
const CUSTOMERS = 2_000

const { once, json, customers } = options()
const told = narrator(json ? process.stderr : process.stdout)
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stopping.abort(new Interrupted({ signal }))
    process.exitCode ??= 128 + constants.signals[signal]
  })
}

try {
  const figures = await tellStory({
    narrator: told,
    signal: stopping.signal,
    seed: 2026,
    customers,
    installSeconds: Number(process.env.COMITY_INSTALL_SECONDS ?? 0),
    broker: process.env.COMITY_EXAMPLE_BROKER,
    async onVerdict({ ok }, director) {
      process.exitCode = ok ? 0 : 1
      if (once || !told.live) return
      told.say('The teams go on. Ctrl-C ends everything.')
      while (!stopping.signal.aborted) await director.pause().catch(() => undefined)
    },
  })
  if (json) process.stdout.write(`${JSON.stringify(figures)}\n`)
} catch (error) {
  told.close()
  process.exitCode ??= 1
  const { message } = error as Error
  process.stderr.write(`\n${message}\n`)
  if (json) process.stdout.write(`${JSON.stringify({ story: 'agency', ok: false, error: message })}\n`)
}

function options(): { readonly once: boolean; readonly json: boolean; readonly customers: number } {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        customers: { type: 'string', default: String(CUSTOMERS) },
      },
    })
    if (!/^[1-9]\d{1,5}$/.test(values.customers)) throw new RangeError(`--customers ${values.customers} is no number from 10 to 999999`)
    return { ...values, customers: Number(values.customers) }
  } catch (error) {
    process.stderr.write(`${new UnknownArgument({ problem: (error as Error).message }).message}\n`)
    process.exit(2)
  }
}
