import type { LineSelection } from 'comity/admin'
import type { Command } from 'commander'

export interface SelectionOptions {
  readonly subscription?: string
  readonly fingerprint?: string
  readonly key?: string
  readonly tenant?: string
  readonly from?: string
  readonly to?: string
}

/** Which dead letters: the same for looking and for acting. */
export function withSelection(command: Command): Command {
  return command
    .option('-s, --subscription <name>', 'of this subscription')
    .option('-f, --fingerprint <hash>', 'that failed alike: "comity dead-letters groups"')
    .option('-k, --key <key>', 'of this key')
    .option('--tenant <tenant>', 'of this tenant')
    .option('--from <time>', 'whose line began then or later, e.g. 2026-11-05T10:00:00Z')
    .option('--to <time>', 'whose line began before')
}

export function selectionOf({ subscription, fingerprint, key, tenant, from, to }: SelectionOptions): LineSelection {
  return given({ subscription, fingerprint, key, tenant, from, to })
}

/** Without what was not given. */
export function given<Values extends object>(values: Values): { [Name in keyof Values]?: Exclude<Values[Name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never
}
