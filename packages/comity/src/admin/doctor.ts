import type { Declaration } from '../catalog/declaration.ts'
import type { Environment } from '../catalog/environment.ts'
import { describeError } from '../postgres/classify-error.ts'
import { type Check, error, type Finding } from './checks/check.ts'
import { clock } from './checks/clock.ts'
import { contracts } from './checks/contracts.ts'
import { installation } from './checks/installation.ts'
import { partitions } from './checks/partitions.ts'
import { pooler } from './checks/pooler.ts'
import { role } from './checks/role.ts'
import { server } from './checks/server.ts'
import { status } from './checks/status.ts'
import { transactions } from './checks/transactions.ts'
import { isInstalled } from './installation.ts'

export interface Diagnosis {
  readonly team: string
  /** ISO 8601. */
  readonly at: string
  /** The worst of its findings. */
  readonly level: Finding['level']
  readonly checks: readonly { readonly name: string; readonly findings: readonly Finding[] }[]
}

/** Everything that is looked at, in the order in which it is shown: to add one, write its file and name it here. */
const OF_THE_SERVER: readonly Check[] = [server, pooler, clock]
const OF_THE_TEAM: readonly Check[] = [installation, role, transactions, partitions, contracts, status]

/** Looks at a team and at what it stands on. Changes nothing; each finding that needs somebody says what to do. */
export async function doctor(declaration: Declaration, environment: Environment): Promise<Diagnosis> {
  const checks: { name: string; findings: readonly Finding[] }[] = []
  const look = async ({ name, look }: Check): Promise<void> => {
    const findings = await look(declaration, environment).catch((cause: unknown) => [
      error(`it could not be looked at: ${describeError(cause)}`, 'check the URL, the server and the rights of the role'),
    ])
    checks.push({ name, findings })
  }
  const reason = await unreachable(environment)
  if (reason !== undefined) checks.push({ name: 'server', findings: [error(reason, 'check the URL, and whether the server runs')] })
  else {
    for (const check of OF_THE_SERVER) await look(check)
    const here = await isInstalled(environment).catch(() => false)
    for (const check of here ? OF_THE_TEAM : [installation]) await look(check)
  }
  const levels = checks.flatMap(({ findings }) => findings.map(({ level }) => level))
  const level = levels.includes('error') ? 'error' : levels.includes('warning') ? 'warning' : 'ok'
  return { team: environment.team, at: new Date().toISOString(), level, checks }
}

async function unreachable({ database }: Environment): Promise<string | undefined> {
  try {
    await database.query('select 1 as here')
    return undefined
  } catch (cause) {
    return describeError(cause)
  }
}
