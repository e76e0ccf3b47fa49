import { setTimeout as pause } from 'node:timers/promises'

/** Looks until there is an answer. Rejects, saying what it waited for, when the time is over. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeout = 60_000,
): Promise<T> {
  const end = performance.now() + timeout
  for (let wait = 5; ; wait = Math.min(100, wait * 1.5)) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() >= end) throw new Error(`waited ${timeout} ms in vain: ${what}`)
    await pause(wait)
  }
}
