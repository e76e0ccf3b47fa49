import { type ContractCheck, checkContracts } from 'comity/admin'
import { type CommonOptions, eachTeam } from '../../command.ts'
import { loadTeams } from '../../load-config.ts'

export interface CheckedTeam {
  readonly team: string
  readonly contracts: readonly ContractCheck[]
}

/** Each team that is meant; consumers that stand in the same configuration count where nothing was heard of them. */
export async function checkedTeams(options: CommonOptions): Promise<readonly CheckedTeam[]> {
  const beside = (await loadTeams(options.config === undefined ? {} : { config: options.config })).map(({ declaration }) => declaration)
  return eachTeam(options, async ({ name, declaration, environment }) => ({
    team: name,
    contracts: await checkContracts(declaration, environment, beside),
  }))
}
