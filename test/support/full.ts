/** `npm run test:full`: more runs of each property, and every way to end a process; `npm test` takes the first of them. */
export const full: boolean = process.env.COMITY_FULL === '1'

/** What `npm test` tries, and what the full tests try besides. */
export function shortAndFull<T>(short: readonly T[], more: readonly T[]): readonly T[] {
  return full ? [...short, ...more] : short
}
