import type { Catalog, CatalogContract, CatalogTeam } from './catalog.ts'
import { type DescribedContract, describedOf } from './cloud-event.ts'

/** One file of a folder. @param path relative, with `/` */
export interface CatalogFile {
  readonly path: string
  readonly text: string
}

/** The kinds of message that EventCatalog knows; what an entity says goes as an event there. */
const FOLDERS: Readonly<Record<string, string>> = { entity: 'events', event: 'events', request: 'commands' }

/**
 * The map in the folder format of EventCatalog (https://www.eventcatalog.dev/docs/api): a domain and a service for each team, below it what it
 * publishes with its JSON Schema, entities beside it, and teams as owners. Copied into a catalog, it needs nothing more.
 */
export function eventCatalog(catalog: Catalog): readonly CatalogFile[] {
  const contracts = describedOf(catalog.contracts)
  return catalog.teams.flatMap((team) => {
    const own = contracts.filter(({ owner }) => owner === team.team)
    return [teamFile(team), domainFile(team), serviceFile(team, own, contracts), ...own.flatMap(contractFiles)]
  })
}

function teamFile({ team, contact }: CatalogTeam): CatalogFile {
  const email = contact !== null && /^[^\s@<>]+@[^\s@<>]+$/.test(contact) ? { email: contact } : {}
  const summary = contact === null ? {} : { summary: `Contact: ${contact}` }
  return page(`teams/${team}.mdx`, { id: team, name: team, ...summary, ...email }, `The team ${code(team)}.`)
}

function domainFile({ team, version }: CatalogTeam): CatalogFile {
  const head = { id: team, name: team, version: version ?? UNKNOWN, owners: [team], services: [{ id: team, version: version ?? UNKNOWN }] }
  return page(`domains/${team}/index.mdx`, head, `What the team ${code(team)} is responsible for.\n\n<NodeGraph />`)
}

function serviceFile(
  { team, version, library, seenAt }: CatalogTeam,
  own: readonly DescribedContract[],
  all: readonly DescribedContract[],
): CatalogFile {
  const used = all.filter(({ uses }) => uses.some((use) => use.team === team && use.how !== 'asks'))
  const asked = all.filter(({ uses }) => uses.some((use) => use.team === team && use.how === 'asks'))
  const answered = own.filter(({ description }) => FOLDERS[description.contractKind] === 'commands')
  const said = own.filter((one) => !answered.includes(one))
  const head = {
    ...{ id: team, name: team, version: version ?? UNKNOWN, owners: [team] },
    sends: [...said, ...asked].map(pointer),
    receives: [...used, ...answered].map(pointer),
    entities: own.filter(({ kind }) => kind === 'entity').map(pointer),
  }
  const rows = used.flatMap(({ name, uses }) =>
    uses
      .filter((use) => use.team === team && use.how === 'keeps')
      .map(({ subscription, table, holds }) => [
        code(name),
        code(subscription ?? ''),
        code(table ?? ''),
        holds.map(({ field }) => code(field)).join(', '),
      ]),
  )
  const copies = rows.length === 0 ? '' : `\n\n## Copies\n\n${table(['contract', 'copy', 'table', 'fields'], rows)}`
  const seen = `Runs Comity ${code(library ?? 'unknown')}, last seen ${code(seenAt ?? 'never')}.`
  return page(`domains/${team}/services/${team}/index.mdx`, head, `${seen}${copies}\n\n<NodeGraph />`)
}

function contractFiles(contract: DescribedContract): readonly CatalogFile[] {
  const { name, owner, description, contact, fields, uses } = contract
  const service = `domains/${owner}/services/${owner}`
  const folder = `${service}/${FOLDERS[description.contractKind] ?? 'events'}/${name}`
  const head = { ...pointer(contract), name, summary: `${description.contractKind} of the team ${owner}`, owners: [owner] }
  const held = table(
    ['field', 'type', 'kept by', 'given to'],
    fields.map((field) => [code(field.name), code(field.type), field.keptBy.map(code).join(', '), field.givenTo.map(code).join(', ')]),
  )
  const whom = contact === null ? '' : `Contact: ${code(contact)}\n\n`
  const body = `${whom}## Fields\n\n${held}\n\n<SchemaViewer file="schema.json" />\n\nRead by ${uses.length} of other teams.\n\n<NodeGraph />`
  const message = [
    page(`${folder}/index.mdx`, { ...head, schemaPath: 'schema.json' }, body),
    { path: `${folder}/schema.json`, text: `${JSON.stringify(description.schema, null, 2)}\n` },
  ]
  return contract.kind === 'entity' ? [...message, entityFile(contract, head, service)] : message
}

function entityFile({ name, description, fields }: DescribedContract, head: object, service: string): CatalogFile {
  const required = new Set((description.schema.required as readonly string[] | undefined) ?? [])
  const properties = fields.map((field) => ({ name: field.name, type: field.type, required: required.has(field.name) }))
  return page(
    `${service}/entities/${name}/index.mdx`,
    { ...head, aggregateRoot: true, identifier: description.keyFields.join(', '), properties },
    `Every change is announced with the whole state.`,
  )
}

/** Contracts have no number: what another hash has is another version. */
function pointer({ name, hash }: CatalogContract): { readonly id: string; readonly version: string } {
  return { id: name, version: hash === null ? UNKNOWN : `1.0.0-h${hash}` }
}
const UNKNOWN = '0.0.0'

/** JSON is YAML: values of other teams need no other quoting. */
function page(path: string, head: object, body: string): CatalogFile {
  const lines = Object.entries(head).map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
  return { path, text: ['---', ...lines, '---', '', body, ''].join('\n') }
}

/** Text of another team's inside of MDX: a code span, in which nothing is a tag or an expression. */
function code(text: string): string {
  return text === '' ? '' : `\`${text.replaceAll('`', "'").replaceAll('|', '\\|').replaceAll(/\s+/g, ' ')}\``
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}
