/**
 * A Postgres array as text, for `$n::text::type[]`: libraries disagree on how they bind JavaScript arrays (postgres.js
 * makes the text `NULL` of a null in a text[]), none on a string. null and undefined become NULL.
 */
export function arrayLiteral(values: readonly (string | number | boolean | null | undefined)[]): string {
  let text = '{'
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (i > 0) text += ','
    if (value === null || value === undefined) text += 'NULL'
    else if (typeof value === 'string') text += quote(value)
    else text += value
  }
  return `${text}}`
}

function quote(value: string): string {
  return `"${/["\\]/.test(value) ? value.replace(/["\\]/g, '\\$&') : value}"`
}
