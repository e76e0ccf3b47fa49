import { deprecatedUses } from '../reads/deprecated-uses.ts'
import { type Check, ok, warning } from './check.ts'

/** What this team reads although its owner will stop sending it. */
export const contracts: Check = {
  name: 'contracts',
  async look(declaration, environment) {
    const uses = await deprecatedUses(declaration, environment)
    if (uses.length === 0) return [ok('nothing that this team keeps or handles is deprecated, as far as its owners have said')]
    return uses.map(({ contract, field, from, owner, contact, readBy }) =>
      warning(
        `${field === '' ? contract : `${contract}.${field}`} is deprecated from ${from}, and read by ${readBy.join(', ')}`,
        `read what takes its place, and drop it here before that day; ask ${owner}${contact === null ? '' : ` (${contact})`}`,
      ),
    )
  },
}
