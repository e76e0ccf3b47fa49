import type { CheckedTeam } from './checked.ts'
import { consumerWords, reasonWords } from './words.ts'

/** Workflow commands, one a line, which GitHub shows beside a run and at its pull request. */
export function annotations(teams: readonly CheckedTeam[]): readonly string[] {
  return teams.flatMap(({ contracts }) =>
    contracts.flatMap(({ contract, consumers, deprecated }) => [
      ...consumers.flatMap((consumer) => {
        const { verdict, reasons, older } = consumer
        const said = reasons.map(reasonWords).join('; ')
        return [
          ...(verdict === 'broken' ? [command('error', contract, `breaks ${consumerWords(consumer)}: ${said}`)] : []),
          ...(verdict === 'possibly' ? [command('warning', contract, `may affect ${consumerWords(consumer)}: ${said}`)] : []),
          ...(older.length === 0
            ? []
            : [
                command(
                  'notice',
                  contract,
                  `once ${consumerWords(consumer)} has the new version, older messages need to be lifted: ${older.map(reasonWords).join('; ')}`,
                ),
              ]),
        ]
      }),
      ...deprecated
        .filter(({ readers }) => readers.length > 0)
        .map(({ field, from, readers }) =>
          command('notice', contract, `${field === '' ? 'it' : field} is deprecated from ${from}, and still read by ${readers.join(', ')}`),
        ),
    ]),
  )
}

function command(level: 'error' | 'warning' | 'notice', title: string, message: string): string {
  const escaped = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  return `::${level} title=${escaped(title).replaceAll(':', '%3A').replaceAll(',', '%2C')}::${escaped(message)}`
}
