/**
 * A Postgres array as text, for `$n::text::type[]`: libraries disagree on how they bind JavaScript arrays (postgres.js
 * makes the text `NULL` of a null in a text[]), none on a string. null and undefined become NULL.
 */
export function arrayLiteral(values: readonly (string | number | boolean | null | undefined)[]): string {
  return `{${values.map((value) => (typeof value === 'string' ? quote(value) : (value ?? 'NULL'))).join()}}`
}

function quote(value: string): string {
  if (BARE.test(value)) return value
  return `"${value.replace(/["\\]/g, '\\$&')}"`
}
/** Needs no quotes: a word that can't be read as NULL. */
const BARE = /^[\d_-][\w-]*$/
