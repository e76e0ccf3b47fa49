import { type ContractDescription, describe } from '@comity/contract'
import { type Consumer, type ConsumerVerdict, consumerVerdict } from '../../catalog/contract-check.ts'
import { contractHash } from '../../catalog/contract-hash.ts'
import { contractsPublishedBy, type Declaration, fieldsNeeded } from '../../catalog/declaration.ts'
import { type FieldChange, fieldChanges } from '../../catalog/field-changes.ts'
import { type Asker, askerVerdict } from '../../catalog/request-check.ts'
import type { DeclarationReport, DeclaredSubscription } from '../../control/contracts.ts'
import type { Queryable } from '../../postgres/database.ts'
import { declarationReport } from '../declaration-report.ts'
import { deprecationsOf } from './deprecated-uses.ts'

/** One contract of a team: what the code says, against what is published and who reads it. */
export interface ContractCheck {
  readonly contract: string
  readonly kind: string
  /** `new`: nothing of this name is published yet; `removed`: published, and not in the code. */
  readonly state: 'new' | 'unchanged' | 'changed' | 'removed'
  readonly changes: readonly FieldChange[]
  /** What the code says is deprecated; an empty field = the whole. */
  readonly deprecated: readonly { readonly field: string; readonly from: string; readonly readers: readonly string[] }[]
  readonly consumers: readonly ConsumerVerdict[]
}

/** The longest that a broker keeps messages. */
const RETAINED_DAYS = 31

/* Of a request that was registered by a library that kept no versions of it: what the team has said last. */
const VERSIONS = `
  select topic, description, retained from (
    select v.topic, v.number, v.description::text as description,
      coalesce(lead(v.registered_at) over (partition by v.topic order by v.number) > clock_timestamp() - $1::int * interval '1 day', true) as retained
    from comity.contract_versions v
    union all
    select c.name, 1, c.description::text, true from comity.catalog_contracts c
    where c.team = $2::text and c.description ->> 'contractKind' = 'request'
      and not exists (select from comity.contract_versions v where v.topic = c.name)) known
  order by topic, number`
/* Every team says to each owner what it reads of it (decision 13), and to those who operate it what it declares. */
const HOLDERS = `
  select subscription, team, topic, kind, fields::text as fields, audience from comity.holders where gone_at is null`
/* From the map of all teams; a team of before there was one is known where this team operates it. */
const DECLARATIONS = `
  select coalesce(c.declaration::text, t.declaration::text) as declaration from comity.catalog c full join comity.teams t using (team)
  where coalesce(c.declaration::text, t.declaration::text) is not null`

interface HolderRow {
  readonly subscription: string
  readonly team: string
  readonly topic: string
  readonly kind: 'handler' | 'replica'
  readonly fields: string
  readonly audience: string | null
}

/**
 * Compares what the code of a team says of its contracts with what its database has published, for each consumer that the database has
 * heard of. Of a
 * request these are the teams that ask it. Changes nothing.
 * @param beside declarations that are in the same working tree: what a team says there counts where nothing was heard of it
 */
export async function checkContracts(
  declaration: Declaration,
  environment: { readonly database: Queryable },
  beside: readonly Declaration[] = [],
): Promise<readonly ContractCheck[]> {
  const { database } = environment
  const published = await versionsOf(database, declaration.team)
  const own = [...contractsPublishedBy(declaration), ...declaration.answers.map(({ contract }) => contract)]
  const code = new Map<string, ContractDescription>(own.map((one) => [one.name, one]))
  const reports = await reportsOf(database, declaration.team, beside)
  const holders = (await database.query<HolderRow>(HOLDERS)).rows
  return [...new Set([...code.keys(), ...published.keys()])].map((name) => {
    const versions = published.get(name) ?? []
    const before = versions.at(-1)?.description
    const next = code.get(name)
    const was = (before ?? next) as ContractDescription
    const known = new Map(
      [...versions.map((one) => one.description), ...(next === undefined ? [] : [describe(next)])].map((one) => [contractHash(one), one]),
    )
    const older = versions.filter(({ retained }) => retained).map((one) => one.description)
    const consumers =
      was.contractKind === 'request'
        ? askersOf(name, reports, known).map((one) => askerVerdict(one, was, next))
        : consumersOf(name, reports, holders, known).map((one) => consumerVerdict(one, was, next, older))
    return {
      contract: name,
      kind: was.contractKind,
      state:
        next === undefined
          ? 'removed'
          : before === undefined
            ? 'new'
            : contractHash(before) === contractHash(next)
              ? 'unchanged'
              : 'changed',
      changes: next === undefined || before === undefined ? [] : fieldChanges(before, next),
      deprecated: next === undefined ? [] : stillRead(next, consumers),
      consumers,
    }
  })
}

interface Version {
  readonly description: ContractDescription
  /** Messages of it may still be somewhere. */
  readonly retained: boolean
}

async function versionsOf(database: Queryable, team: string): Promise<ReadonlyMap<string, readonly Version[]>> {
  const { rows } = await database.query<{ topic: string; description: string; retained: boolean }>(VERSIONS, [RETAINED_DAYS, team])
  const versions = new Map<string, Version[]>()
  for (const { topic, description, retained } of rows)
    versions.set(topic, [...(versions.get(topic) ?? []), { description: JSON.parse(description), retained }])
  return versions
}

/** Of the other teams; what they run counts before what stands beside in the working tree. */
async function reportsOf(database: Queryable, self: string, beside: readonly Declaration[]): Promise<readonly HeardReport[]> {
  const { rows } = await database.query<{ declaration: string }>(DECLARATIONS)
  const heard = rows.map(({ declaration }) => JSON.parse(declaration) as HeardReport)
  const unheard = beside.filter(({ team }) => !heard.some((one) => one.team === team)).map(inWorkingTree)
  return [...heard, ...unheard].filter(({ team }) => team !== self)
}

/** Declarations of newer versions say more. */
type HeardReport = Pick<DeclarationReport, 'team' | 'keeps' | 'handles' | 'asks'> & { readonly contact?: string }

function inWorkingTree(declaration: Declaration): HeardReport {
  const report = declarationReport(declaration)
  return {
    ...report,
    keeps: report.keeps.map((one, at) => ({ ...one, fields: fieldsNeeded(declaration.keeps[at] as Declaration['keeps'][number]) })),
  }
}

function consumersOf(
  topic: string,
  reports: readonly HeardReport[],
  holders: readonly HolderRow[],
  known: ReadonlyMap<string, ContractDescription>,
): readonly Consumer[] {
  const consumers = new Map<string, Consumer>()
  for (const { subscription, team, kind, fields, audience } of holders.filter((one) => one.topic === topic))
    consumers.set(subscription, {
      ...{ subscription, team, kind: kind === 'replica' ? 'copy' : 'handler' },
      ...(kind === 'replica' ? { fields: JSON.parse(fields) as string[] } : {}),
      ...(audience === null ? {} : { audience }),
    })
  for (const { team, contact, keeps, handles } of reports) {
    const add = (kind: Consumer['kind']) => (one: DeclaredSubscription & { readonly where?: readonly string[] }) => {
      if (one.contract !== topic) return
      const knows = known.get(one.hash)
      consumers.set(one.name, {
        ...{ subscription: one.name, team, kind },
        ...(one.fields === undefined ? {} : { fields: [...new Set([...one.fields, ...(one.where ?? [])])] }),
        ...(one.audience === undefined ? {} : { audience: one.audience }),
        ...(contact === undefined ? {} : { contact }),
        ...(knows === undefined ? {} : { knows }),
      })
    }
    keeps.forEach(add('copy'))
    handles.forEach(add('handler'))
  }
  return [...consumers.values()].sort((a, b) => (a.subscription < b.subscription ? -1 : 1))
}

function askersOf(request: string, reports: readonly HeardReport[], known: ReadonlyMap<string, ContractDescription>): readonly Asker[] {
  const askers = reports.flatMap(({ team, contact, asks = [] }) =>
    asks
      .filter(({ contract }) => contract === request)
      .map(({ hash }): Asker => {
        const knows = known.get(hash)
        return { team, ...(contact === undefined ? {} : { contact }), ...(knows === undefined ? {} : { knows }) }
      }),
  )
  return askers.sort((a, b) => (a.team < b.team ? -1 : 1))
}

function stillRead(contract: ContractDescription, consumers: readonly ConsumerVerdict[]): ContractCheck['deprecated'] {
  return deprecationsOf(contract).map(({ field, from }) => ({
    ...{ field, from },
    readers: subscriptionsOf(field === '' ? consumers : consumers.filter((one) => one.deprecated.includes(field))),
  }))
}

function subscriptionsOf(consumers: readonly ConsumerVerdict[]): readonly string[] {
  return consumers.flatMap(({ subscription }) => subscription ?? [])
}
