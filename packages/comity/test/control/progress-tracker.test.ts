import { describe, expect, test } from 'vitest'
import { ProgressTracker, patienceFor } from '../../src/control/progress-tracker.ts'
import { ManualClock } from '../foundation/manual-clock.ts'

function watched() {
  const clock = new ManualClock()
  const now = {
    inFlight: 0,
    ended: { applied: 0, duplicate: 0, stale: 0, waiting: 0, discarded: 0 },
    troubleSince: undefined as Date | undefined,
    lastEndedAt: undefined,
    oldestSentAt: undefined,
    pausedBy: undefined,
    resting: [],
    running: [],
    tenants: [],
  }
  const relay = { leading: true, term: 1, checkpoint: 5, sent: 3, withheld: 0, troubleSince: undefined as Date | undefined }
  const tracker = new ProgressTracker({
    subscriptions: [{ name: 'crm.mail', patience: 40_000, progress: () => ({ ...now, ended: { ...now.ended } }) }],
    relay: () => ({ ...relay }),
    clock,
  })
  return { clock, now, relay, tracker, state: () => tracker.read().subscriptions['crm.mail']?.state }
}

describe('the status of a subscription goes by what moves', () => {
  test('stuck when messages are in flight and none has ended for its patience; working again when one has', () => {
    const { clock, now, state } = watched()
    expect(state()).toBe('idle')
    clock.pass(3_600_000)
    now.inFlight = 3
    expect(state()).toBe('working') // the silence before does not count
    clock.pass(39_999)
    expect(state()).toBe('working')
    clock.pass(1)
    expect(state()).toBe('stuck')
    now.ended.applied++
    expect(state()).toBe('working')
    clock.pass(40_000)
    expect(state()).toBe('stuck')
    now.inFlight = 0
    expect(state()).toBe('idle')
  })

  test('any end is progress, and a broker that is away is trouble', () => {
    const { clock, now, state } = watched()
    now.inFlight = 1
    for (const outcome of ['duplicate', 'stale', 'waiting', 'discarded'] as const) {
      state()
      clock.pass(39_000)
      now.ended[outcome]++
      expect(state()).toBe('working')
    }
    now.troubleSince = new Date()
    expect(state()).toBe('trouble')
  })

  test('its patience is twice the time limit of its handler, and half a minute at least', () => {
    expect(patienceFor(1000)).toBe(30_000)
    expect(patienceFor(60_000)).toBe(120_000)
  })
})

test('a relay is still when it neither sends nor moves its checkpoint; one that does not lead says nothing', () => {
  const { clock, relay, tracker } = watched()
  expect(tracker.read().relay).toEqual({ sent: 3, still: false })
  clock.pass(30_000)
  expect(tracker.read().relay).toEqual({ sent: 3, still: true })
  relay.checkpoint++
  expect(tracker.read().relay).toEqual({ sent: 3, still: false })
  relay.troubleSince = new Date(0)
  expect(tracker.read().relay).toMatchObject({ troubleSince: '1970-01-01T00:00:00.000Z' })
  relay.leading = false
  expect(tracker.read()).not.toHaveProperty('relay')
})
