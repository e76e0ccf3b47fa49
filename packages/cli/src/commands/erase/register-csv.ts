import type { ErasureRegister } from 'comity/admin'

const COLUMNS = [
  'record',
  'owner',
  'topic',
  'key',
  'team',
  'subscription',
  'fields',
  'at',
  'removed',
  'broker_until',
  'author',
  'reason',
  'erasure',
] as const
type Line = { readonly [Name in (typeof COLUMNS)[number]]?: string | null }

/** One table of everything: RFC 4180, a line for each holder, erasure, receipt, and team that has not answered. */
export function registerCsv(registers: readonly ErasureRegister[]): string {
  const lines = registers.flatMap((register) => linesOf(register))
  return [COLUMNS.join(','), ...lines.map((line) => COLUMNS.map((name) => quoted(line[name] ?? '')).join(','))].join('\r\n')
}

function linesOf({ team: owner, holders, erasures }: ErasureRegister): readonly Line[] {
  return [
    ...holders.map(
      ({ topic, team, subscription, kind, fields, heardAt, goneAt }): Line => ({
        ...{ record: goneAt === null ? `holder (${kind})` : 'holder (gone)', owner, topic, team, subscription },
        ...{ fields: fields.join(' '), at: goneAt ?? heardAt },
      }),
    ),
    ...erasures.flatMap(
      ({ id: erasure, topic, key, author, reason, erasedAt, brokerUntil, removed, receipts, missing }): readonly Line[] => [
        {
          ...{ record: 'erasure', owner, topic, key, team: owner, at: erasedAt, broker_until: brokerUntil, author, reason, erasure },
          removed: JSON.stringify(removed),
        },
        ...receipts.map((receipt) => ({
          ...{ record: 'receipt', owner, topic, key, team: receipt.team, at: receipt.erasedAt, broker_until: receipt.brokerUntil, erasure },
          removed: JSON.stringify(receipt.removed),
        })),
        ...missing.map((team) => ({ record: 'missing receipt', owner, topic, key, team, erasure })),
      ],
    ),
  ]
}

/** What a spreadsheet would take for a formula is text. */
function quoted(value: string): string {
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
