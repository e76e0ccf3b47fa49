import { teamStatus } from '../status.ts'
import { type Check, ok, warning } from './check.ts'

/** What `comity status` names: the broker and its subscriptions, orphans, pauses, what waits, what is withheld, copies with conflicts. */
export const status: Check = {
  name: 'status',
  async look(declaration, environment) {
    const { problems, subscriptions } = await teamStatus(declaration, environment)
    const notProvisioned = subscriptions.filter(({ lagUnknown }) => lagUnknown !== null).length
    if (problems.length > 0)
      return problems.map((problem) =>
        warning(
          problem,
          notProvisioned > 0 ? 'see "comity status"; "comity provision --plan" says what the broker lacks' : 'see "comity status"',
        ),
      )
    return [ok(`${subscriptions.length} subscriptions, all of them known to the broker; nothing needs anybody`)]
  },
}
