import type { ConsumerVerdict } from 'comity/admin'
import type { CheckedTeam } from './checked.ts'
import { changeWords, reasonWords } from './words.ts'

const VERDICTS = { broken: '❌ broken', possibly: '⚠️ possibly affected', unaffected: '✅ unaffected' } as const

/** A summary for a pull request. */
export function markdown(teams: readonly CheckedTeam[]): string {
  const sections = teams.flatMap(({ team, contracts }) =>
    contracts
      .filter(({ state, deprecated }) => state !== 'unchanged' || deprecated.length > 0)
      .map((check) => {
        const lines = [`### ${code(check.contract)} of ${team}: ${cell(changeWords(check))}`, '']
        if (check.consumers.length === 0) lines.push('Nobody reads it.', '')
        else lines.push('| consumer | team | verdict | why |', '|---|---|---|---|', ...check.consumers.map(row), '')
        for (const { field, from, readers } of check.deprecated)
          lines.push(
            `- ${field === '' ? 'It' : code(field)} is deprecated from ${from}; ${readers.length === 0 ? 'nobody reads it' : `still read by ${readers.map(code).join(', ')}`}.`,
          )
        return lines.join('\n')
      }),
  )
  return ['## Contracts', '', ...(sections.length === 0 ? ['Nothing changes.'] : sections), ''].join('\n')
}

function row(consumer: ConsumerVerdict): string {
  const { subscription, team, contact, verdict, reasons, older } = consumer
  const why = [
    ...reasons.map(reasonWords),
    ...older.map((one) => `once it has the new version, messages that are there already need to be lifted: ${reasonWords(one)}`),
  ]
  return `| ${subscription === null ? 'asks it' : code(subscription)} | ${cell(contact === null ? team : `${team} (${contact})`)} | ${VERDICTS[verdict]} | ${why.map(cell).join('<br>')} |`
}

function code(text: string): string {
  return `\`${text.replaceAll('`', '')}\``
}
/** What comes from schemas and other teams must not end a cell, or begin an element. */
function cell(text: string): string {
  return text.replace(/[\\|<>`*_[\]]/g, (character) => `\\${character}`).replace(/\s+/g, ' ')
}
