import { randomUUID } from 'node:crypto'
import { userInfo } from 'node:os'
import type { Team } from 'comity'
import { operate } from 'comity/admin'
import type { Command } from 'commander'
import { type CommonOptions, withConfig, withJson } from './command.ts'

/** What every act takes: who wants it and why is recorded with it. */
export interface ActOptions extends CommonOptions {
  readonly reason: string
  readonly author?: string
  readonly dryRun?: boolean
}

export function withAct(command: Command): Command {
  return withJson(withConfig(command))
    .requiredOption('-r, --reason <text>', 'why; it is recorded')
    .option('--author <name>', 'who; default: $COMITY_AUTHOR, or the user of this system')
    .option('-n, --dry-run', 'change nothing; say what it would do')
}

/** Has one operation done, and answers its outcome. Throws the error that was recorded. */
export async function act<Outcome>(team: Team, kind: string, args: object, { author, reason }: ActOptions): Promise<Outcome> {
  const record = await operate(team.environment, team.declaration, {
    ...{ id: randomUUID(), kind, arguments: JSON.parse(JSON.stringify(args)), author: author ?? authorHere(), reason, origin: 'cli' },
  })
  if (record.error !== null) throw new Recorded(record.error)
  return record.outcome as Outcome
}

function authorHere(): string {
  if (process.env.COMITY_AUTHOR) return process.env.COMITY_AUTHOR
  try {
    return userInfo().username
  } catch {
    // In a container the user may have no name.
    return `uid ${process.getuid?.() ?? '?'}`
  }
}

/** As it stands in comity.operations: its words are an error's, its class is gone. */
class Recorded extends Error {
  readonly code: string
  readonly remedy: string

  constructor({ code, message }: { readonly code: string; readonly message: string }) {
    const [cause, remedy = ''] = message.split('\n  What to do: ', 2)
    super(cause)
    this.code = code
    this.remedy = remedy
  }
}
