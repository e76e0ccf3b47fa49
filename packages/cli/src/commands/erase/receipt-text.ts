import type { ErasureReceipt } from 'comity/admin'

/** What one team has removed, and until when the broker has what was sent before. */
export function receiptText({ team, removed, brokerUntil }: ErasureReceipt): string {
  const parts = removed.map(
    ({ subscription, rows, messages, edited }) => `${subscription} ${rows} rows, ${messages} messages, ${edited} edits`,
  )
  return `${team}: ${parts.join('; ') || 'it holds nothing of it'}; the broker has it until ${brokerUntil.slice(0, 10)}`
}

/** At the owner. */
export function countsOf({
  outbox,
  withheld,
  scheduled,
}: {
  readonly outbox: number
  readonly withheld: number
  readonly scheduled: number
}): string {
  return `${outbox} rows of the outbox, ${withheld} withheld, ${scheduled} scheduled`
}
