import { constants } from 'node:os'

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** Resolves with the first SIGTERM or SIGINT; the second ends the process at once. Keeps the process alive until then. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const alive = setTimeout(() => undefined, 2 ** 31 - 1)
    let stopping = false
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        if (stopping) process.exit(128 + constants.signals[signal])
        stopping = true
        clearTimeout(alive)
        resolve(signal)
      })
    }
  })
}
