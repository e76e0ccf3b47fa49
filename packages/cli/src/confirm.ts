import { NotConfirmed, OtherConfirmed } from './errors.ts'

/** What somebody has to say before something is done that can not be undone. */
export interface Confirmation {
  /** In words, e.g. `this discards 17 lines`. */
  readonly what: string
  /** A count or a name: it shows that one has looked. */
  readonly yes: string
  /** What `--yes` was given. */
  readonly given: string | undefined
  readonly json?: boolean | undefined
}

/** A script says it with `--yes`; on a terminal it is typed. Throws COMITY_NOT_CONFIRMED, COMITY_OTHER_CONFIRMED. */
export async function confirm({ what, yes, given, json }: Confirmation): Promise<void> {
  if (given === yes) return
  if (given !== undefined) throw new OtherConfirmed({ what, given, yes })
  if (json || !process.stdin.isTTY || !process.stdout.isTTY) throw new NotConfirmed({ what, yes })
  // Only here: it would cost every command its time.
  const { isCancel, text } = await import('@clack/prompts')
  const typed = await text({
    message: `${what[0]?.toUpperCase()}${what.slice(1)}. Type ${yes} to confirm:`,
    validate: (value) => (value === yes ? undefined : `${yes}, or Ctrl-C`),
  })
  if (isCancel(typed)) throw new NotConfirmed({ what, yes })
}
