import { expect, test } from 'vitest'
import { withinTime } from '../../src/subscription/within-time.ts'

const late = (): Error => new Error('late')
const never = new AbortController().signal
const forEver = (): Promise<void> => new Promise(() => undefined)

test('work that is in time is waited for, and what it throws comes out', async () => {
  await expect(withinTime(60_000, never, late, () => undefined)).resolves.toBeUndefined()
  await expect(withinTime(60_000, never, late, () => Promise.reject(new Error('its own')))).rejects.toThrow('its own')
})

test('work that is late is not waited for, and its signal says so', async () => {
  let told: AbortSignal | undefined
  await expect(
    withinTime(1, never, late, (signal) => {
      told = signal
      return forEver()
    }),
  ).rejects.toThrow('late')
  expect(told?.aborted).toBe(true)
})

test('who stops the caller stops the work, whether before it or in it', async () => {
  const before = AbortSignal.abort()
  await withinTime(60_000, before, late, (signal) => expect(signal.aborted).toBe(true))
  const stopping = new AbortController()
  await withinTime(60_000, stopping.signal, late, (signal) => {
    expect(signal.aborted).toBe(false)
    stopping.abort()
    expect(signal.aborted).toBe(true)
  })
})
