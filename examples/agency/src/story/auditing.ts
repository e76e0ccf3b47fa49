import { randomUUID } from 'node:crypto'
import { type Audit, type AuditBegun, type AuditFinding, auditFindings, auditOf, listBackfills, operate } from 'comity/admin'
import type { Director } from './director.ts'
import type { Audited } from './figures.ts'
import type { Narrator } from './narrator.ts'
import type { Installation, Ready } from './set-up.ts'

/** Every copy is compared with its owner, neither side reading the other's database; a row that somebody has edited is found and repaired. */
export async function auditCopies({ teams }: Installation, director: Director, narrator: Narrator): Promise<Audited> {
  narrator.chapter('Every copy is audited, and a row is corrupted on purpose')
  const keeping = [teams.marketing, ...(teams.billing === undefined ? [] : [teams.billing])]
  await confirmed(keeping, director)
  const clean = await Promise.all(keeping.map((team) => audit(team, director)))
  for (const { audit: found } of clean) narrator.check(found.verdict === 'true', said(found))

  const { rows } = await teams.marketing.database.query<{ id: string }>(
    `update crm_customer set name = name || ' (typo)' where id = (select id from crm_customer order by length(id), id limit 1) returning id`,
  )
  const corrupted = rows[0]?.id ?? ''
  narrator.say(`Somebody with too many rights edits the name of customer ${corrupted} in Marketing's copy.`)
  const { audit: found, findings } = await audit(teams.marketing, director)
  const named = findings.length === 1 && findings[0]?.key === corrupted && findings[0].class === 'different'
  narrator.check(
    found.verdict === 'drift' && named,
    `${said(found)}: ${findings.map(({ key, class: what }) => `${key} is ${what}`).join(', ')}`,
  )
  const { audit: repaired } = await audit(teams.marketing, director, { repair: true })
  const mended = repaired.verdict === 'true' && repaired.repaired?.keys === 1 && repaired.repaired.clean === 1
  narrator.check(mended, `CRM says that one customer anew, to Marketing alone; ${said(repaired)}`)
  await director.pause()
  return {
    copies: clean.map(({ audit: { replica, verdict, ourRows } }) => ({ replica, verdict, rows: ourRows ?? 0 })),
    drift: { corrupted, found: findings.map(({ key, class: what }) => ({ key, class: what })), repaired: mended },
  }
}

/**
 * Until the audits are over by which each copy was confirmed when it had been filled: where clerks wrote every row that was looked at, they come
 * again, and would repair what is corrupted here before anybody has named it.
 */
async function confirmed(keeping: readonly Ready[], director: Director): Promise<void> {
  let open = keeping.length
  await director.until(
    'each copy to be confirmed',
    () => open === 0,
    () => ({ done: keeping.length - open, of: keeping.length }),
    async () => {
      const backfills = await Promise.all(keeping.map(({ team }) => listBackfills(team.environment)))
      open = backfills.flat().filter(({ side, state }) => side === 'copy' && state !== 'ready').length
    },
  )
}

/** As `comity audit` does it. */
async function audit(
  { team }: Ready,
  director: Director,
  { repair = false }: { readonly repair?: boolean } = {},
): Promise<{ readonly audit: Audit; readonly findings: readonly AuditFinding[] }> {
  const { environment, declaration } = team
  const { outcome } = await operate(environment, declaration, {
    ...{
      id: randomUUID(),
      kind: 'audit',
      arguments: { repair },
      author: 'the director',
      reason: 'the end of the story',
      origin: 'library',
    },
  })
  const id = (outcome as unknown as AuditBegun).audits[0]?.id ?? ''
  let found: Audit | undefined
  await director.until(
    'an audit to end',
    () => found?.state === 'ended',
    undefined,
    async () => {
      found = await auditOf(environment, id)
    },
  )
  return { audit: found as Audit, findings: (await auditFindings(environment, id)).items }
}

function said({ replica, verdict, ourRows }: Audit): string {
  return `${replica}: ${verdict === 'true' ? 'true' : verdict}, ${(ourRows ?? 0).toLocaleString('en')} rows`
}
