import { UnknownOption } from './errors.ts'

/** Refuses keys that are not known, and says which one was probably meant. */
export function checkOptions(given: object, known: readonly string[], path: string): void {
  for (const option of Object.keys(given)) {
    if (known.includes(option)) continue
    const nearest = known.map((name) => [editDistance(option, name), name] as const).sort((a, b) => a[0] - b[0])[0]
    const hint = nearest && nearest[0] <= 3 ? `did you mean "${nearest[1]}"?` : `the options here are: ${known.join(', ')}`
    throw new UnknownOption({ option: `${path}.${option}`, hint }, { path: `${path}.${option}` })
  }
}

/** Levenshtein's distance: insertions, deletions and replacements of one character. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
