/** A point in time as every read model shows it: ISO 8601, UTC, milliseconds. @param expression SQL of a timestamptz */
export function isoTime(expression: string): string {
  return `to_char(${expression} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}

/** The same to the microsecond: what a page goes on from must be exact. */
export function exactTime(expression: string): string {
  return `to_char(${expression} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}
