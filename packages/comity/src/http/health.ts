/** One thing that was looked at. */
export interface Check {
  readonly name: string
  readonly ok: boolean
  /** Of what is not well: why, in words. */
  readonly reason?: string
}
/** Well if every check is. Computed when it is asked for: nothing here is a flag that somebody could forget to change. */
export interface Health {
  readonly ok: boolean
  readonly checks: readonly Check[]
}

export function healthOf(checks: readonly Check[]): Health {
  return { ok: checks.every(({ ok }) => ok), checks }
}

/** @param reason why it is not well; undefined if it is */
export function check(name: string, reason: string | undefined): Check {
  return reason === undefined ? { name, ok: true } : { name, ok: false, reason }
}
