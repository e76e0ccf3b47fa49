import type { Page, PageOptions } from 'comity/admin'
import type { Command } from 'commander'
import pc from 'picocolors'
import { BadValue } from './errors.ts'

export interface PageChoice {
  readonly limit?: string
  readonly after?: string
}

export function withPage(command: Command): Command {
  return command
    .option('--limit <rows>', 'rows of a page, at most 1000', '100')
    .option('--after <cursor>', 'go on after a page: its last line says from where')
}

export function pageAsked({ limit, after }: PageChoice): PageOptions {
  return { ...(limit === undefined ? {} : { limit: numberOf('--limit', limit) }), ...(after === undefined ? {} : { after }) }
}

/** The line below a page that is not the last. */
export function moreText({ items, next }: Page<unknown>): string {
  return next === null ? '' : `\n${pc.dim(`the first ${items.length}; for more: --after ${next}`)}`
}

/** Throws COMITY_BAD_VALUE. */
export function numberOf(option: string, value: string): number {
  const number = Number(value)
  if (value.trim() === '' || !Number.isFinite(number) || number < 0) throw new BadValue({ option, value, expected: 'a number' })
  return number
}
