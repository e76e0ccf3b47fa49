import { checkTeamName } from '@comity/contract'
import type { Flow } from '../catalog/declaration.ts'
import { BadOption, checkOptions, parseDuration, parseFrequency } from '../foundation/index.ts'
import { BREAKER, type BreakerPolicy } from '../subscription/breaker.ts'
import { RETRY } from '../subscription/retry-policy.ts'
import type { FlowOptions, OnOptions } from './declared-options.ts'

/* What may stand in the options of a declaration, and what it means; each throws COMITY_BAD_OPTION with the option's path. */

export function functionOf<Given>(handle: Given, verb: string): Given {
  if (typeof handle === 'function') return handle
  throw new BadOption({ option: `${verb}.handle`, expected: 'a function' }, { path: `${verb}.handle` })
}

export function timeoutOf({ timeout: given = '10s' }: Pick<OnOptions, 'timeout'>, verb: string): number {
  const timeout = parseDuration(given, `${verb}.timeout`)
  if (timeout >= 1) return timeout
  throw new BadOption({ option: `${verb}.timeout`, expected: "at least '1ms'" }, { path: `${verb}.timeout` })
}

export const FLOW: readonly string[] = ['prefetch', 'prefetchBytes', 'rate']
export const ON: readonly string[] = [
  'name',
  'fields',
  'audience',
  'batch',
  'timeout',
  'attempts',
  'backoff',
  'decide',
  'breaker',
  'concurrency',
  'tenantRate',
  ...FLOW,
]
export const ANSWERS: readonly string[] = ON.filter((option) => !['name', 'fields', 'audience', 'batch'].includes(option))

export function flowOf({ prefetch, prefetchBytes, rate }: FlowOptions, verb: string): Flow {
  return {
    ...(prefetch === undefined ? {} : { prefetch: wholeNumber(prefetch, `${verb}.prefetch`) }),
    ...(prefetchBytes === undefined ? {} : { prefetchBytes: wholeNumber(prefetchBytes, `${verb}.prefetchBytes`) }),
    ...(rate === undefined ? {} : { rate: parseFrequency(rate, `${verb}.rate`) }),
  }
}

export function waitOf(backoff: OnOptions['backoff']): { readonly min: number; readonly max: number } {
  if (backoff === undefined) return RETRY.wait
  checkOptions(backoff, ['min', 'max'], 'on.backoff')
  const [min, max] = [parseDuration(backoff.min, 'on.backoff.min'), parseDuration(backoff.max, 'on.backoff.max')]
  // A key that rests keeps its message from being acknowledged: not for longer than a lease.
  if (min <= max && max <= 30_000) return { min, max }
  throw new BadOption({ option: 'on.backoff', expected: "a min up to its max, and a max up to '30s'" }, { path: 'on.backoff' })
}

export function breakerOf(given: OnOptions['breaker']): BreakerPolicy | undefined {
  if (given === false) return undefined
  if (given === undefined) return BREAKER
  checkOptions(given, ['share', 'atLeast', 'window'], 'on.breaker')
  const share = given.share ?? BREAKER.share
  if (!(share > 0 && share <= 1))
    throw new BadOption({ option: 'on.breaker.share', expected: 'a share above 0, up to 1' }, { path: 'on.breaker' })
  return {
    share,
    atLeast: wholeNumber(given.atLeast ?? BREAKER.atLeast, 'on.breaker.atLeast'),
    window: given.window === undefined ? BREAKER.window : parseDuration(given.window, 'on.breaker.window'),
  }
}

export function otherTeams(team: string, given: readonly string[] | undefined, option: string): readonly string[] {
  if (given === undefined) return Object.freeze([])
  if (!Array.isArray(given) || given.includes(team))
    throw new BadOption({ option, expected: 'a list of names of other teams' }, { path: option })
  for (const other of given) checkTeamName(other)
  return Object.freeze([...new Set(given)])
}

/** One line of text, which other teams' tools print. */
export function oneLine(name: 'version' | 'contact', given: string | undefined, longest: number): Readonly<Record<string, string>> {
  if (given === undefined) return {}
  const option = `team.${name}`
  if (typeof given !== 'string' || given.trim() === '' || given.length > longest || /\p{Cc}/u.test(given))
    throw new BadOption({ option, expected: `one line of 1 to ${longest} characters` }, { path: option })
  return { [name]: given }
}

export function wholeNumber(value: number, option: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new BadOption({ option, expected: 'a whole number from 1' }, { path: option })
}
