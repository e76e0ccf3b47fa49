import { expect, test } from 'vitest'
import { Permits } from '../../src/subscription/permits.ts'

/** Work that ends when it is told to, and what runs of it. */
function stage(permits: Permits) {
  const running: string[] = []
  const ends: (() => void)[] = []
  const begin = (subscription: string, permit = permits.of(subscription)) => {
    const done = permit(async () => {
      running.push(subscription)
      await new Promise<void>((resolve) => ends.push(resolve))
      running.splice(running.indexOf(subscription), 1)
    })
    return done
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return { running, ends, begin, settle }
}

test('no more run at once than there are permits', async () => {
  const permits = new Permits(3)
  const { running, ends, begin, settle } = stage(permits)
  const all = [1, 2, 3, 4, 5].map(() => begin('a'))
  await settle()
  expect(running).toHaveLength(3)
  while (ends.length > 0) {
    ends.shift()?.()
    await settle()
    expect(running.length).toBeLessThanOrEqual(3)
  }
  await Promise.all(all)
})

test('a subscription leaves the last permit to the others, and those that wait take turns', async () => {
  const permits = new Permits(3)
  const { running, ends, begin, settle } = stage(permits)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => permits.of(name))
  const all = [begin('a', a), begin('a', a), begin('a', a), begin('a', a)]
  await settle()
  expect(running).toEqual(['a', 'a'])
  all.push(begin('b', b), begin('b', b), begin('c', c))
  await settle()
  expect(running).toEqual(['a', 'a', 'b'])
  for (const expected of [
    ['a', 'b', 'a'],
    ['b', 'a', 'b'],
    ['a', 'b', 'c'],
  ]) {
    ends.shift()?.()
    await settle()
    expect(running).toEqual(expected)
  }
  while (ends.length > 0) {
    ends.shift()?.()
    await settle()
  }
  await Promise.all(all)
})

test('work that fails gives its permit back', async () => {
  const permit = new Permits(1).of('a')
  await expect(permit(() => Promise.reject(new RangeError('no')))).rejects.toThrow(RangeError)
  expect(await permit(async () => 'yes')).toBe('yes')
})

test('a subscription with a limit of its own takes no more than that', async () => {
  const permits = new Permits(5)
  permits.of('other')
  const { running, ends, begin, settle } = stage(permits)
  const limited = permits.of('a', 2)
  for (let i = 0; i < 4; i++) void begin('a', limited)
  await settle()
  expect(running).toEqual(['a', 'a'])
  void begin('other')
  await settle()
  expect(running).toHaveLength(3)
  while (ends.length > 0) {
    ends.shift()?.()
    await settle()
  }
})
