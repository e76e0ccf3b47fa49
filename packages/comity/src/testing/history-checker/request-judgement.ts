import type { Ask, RequestObservation } from './history.ts'
import type { IndexedHistory } from './indexed-history.ts'
import type { Violations } from './violation.ts'

/**
 * H15. Each request that was asked has one outcome, the same at both sides, and an effect exactly where it was accepted (`zero`, `two`, `half`); none has
 * one that was never asked (`phantom`); and no acceptance wrote over something else than its asker expected (`lost`).
 */
export function judgeRequests(history: IndexedHistory, requests: RequestObservation, violations: Violations): void {
  const { topic } = requests
  const found = (part: string, detail: string): void => violations.add({ class: 'H15', part, detail: `${topic}: ${detail}` })
  const asks = new Map<string, Ask>()
  for (const ask of history.asks) if (ask.topic === topic) asks.set(nameOf(ask), ask)

  const decided = new Map<string, string>()
  for (const one of requests.decided) {
    const name = nameOf(one)
    if (decided.has(name)) found('two', `${name} was decided twice: ${decided.get(name)}, ${one.outcome}`)
    decided.set(name, one.outcome)
    const ask = asks.get(name)
    if (ask === undefined || ask.phase === 'fail') found('phantom', `${name} was ${one.outcome}, and nobody asked it`)
  }
  const heard = new Map(requests.heard.map((one) => [nameOf(one), one.outcome]))
  for (const [name, ask] of asks) {
    const [there, here] = [decided.get(name), heard.get(name)]
    if (ask.phase === 'ok' && there === undefined) found('zero', `${name} was asked, and its owner has decided nothing`)
    // Of one whose commit nobody knows: either it was never asked, or it was decided.
    if (here === null && there === undefined && ask.phase === 'info')
      found('zero', `${name} was asked after all, and its owner has decided nothing`)
    if (there !== undefined && here !== there)
      found(here == null ? 'zero' : 'two', `${name} was ${there}, and its asker has heard ${here ?? 'nothing'}`)
  }

  const effects = new Map<string, number>()
  const now = new Map(Object.entries(requests.before))
  for (const effect of requests.effects) {
    const name = nameOf(effect)
    effects.set(name, (effects.get(name) ?? 0) + 1)
    const ask = asks.get(name)
    const before = now.get(effect.key) ?? null
    if (ask?.expect !== undefined && ask.expect !== before)
      found('lost', `${name} expected ${ask.expect} of ${effect.key}, and overwrote ${before}`)
    now.set(effect.key, effect.mark)
  }
  for (const [name, times] of effects) if (times > 1) found('two', `${name} had its effect ${times} times`)
  for (const [name, outcome] of decided) {
    if (effects.has(name) !== (outcome === 'accepted'))
      found('half', `${name} was ${outcome}, and ${effects.has(name) ? 'had an effect' : 'had no effect'}`)
  }
  for (const name of effects.keys()) if (!decided.has(name)) found('half', `${name} had an effect, and no outcome`)
  for (const [key, mark] of now) {
    if (requests.after[key] !== mark)
      found('lost', `${key} is ${requests.after[key] ?? 'gone'}, and the last that was accepted wrote ${mark}`)
  }
}

function nameOf({ asker, id }: { readonly asker: string; readonly id: string }): string {
  return `${asker} ${id}`
}
