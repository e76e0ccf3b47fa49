import { relative, sep } from 'node:path'
import type { FoundEntity } from './find-entity.ts'

export interface NewTeam {
  readonly name: string
  readonly folder: string
  readonly found: FoundEntity
}

/** `billing-eu` → `BILLING_EU_URL` */
function variableOf(name: string): string {
  return `${name.toUpperCase().replaceAll('-', '_')}_URL`
}

export function configText(
  options: NewTeam & { readonly kept: { readonly fields: readonly string[]; readonly audience?: string } },
): string {
  const { name, folder, found, kept } = options
  const { entity, exported, from, transportVariable } = found
  const local = exported === 'default' ? 'Kept' : exported
  const imported = exported === 'default' ? local : `{ ${exported} }`
  const transport = transportVariable === undefined ? '' : `, transport: process.env.${transportVariable}`
  const list = kept.fields.map((field) => `'${field}'`).join(', ')
  const audience = kept.audience === undefined ? '' : `, audience: '${kept.audience}'`
  return `import { team } from 'comity'
import ${imported} from '${specifierOf(folder, from)}'

export default team('${name}', { database: process.env.${variableOf(name)}${transport} })
  .keeps(${local}, { fields: [${list}]${audience} }) // the table ${tableOf(entity.name)}, yours to index and join
`
}

export function readmeText({ name, found, folder }: NewTeam): string {
  const { entity, transportVariable } = found
  const variables = [variableOf(name), transportVariable ?? 'COMITY_TRANSPORT'].map((variable) => `\`${variable}\``).join(' and ')
  return `# ${name}

Keeps its own copy of ${entity.name} in the table \`${tableOf(entity.name)}\`. The copy fills by itself when the team first runs.

On your machine \`comity dev\` runs it with all other teams. Elsewhere, with ${variables} set:

\`\`\`sh
npx comity migrate --config ${folder}     # its tables, in its own database
npx comity provision --config ${folder}   # its subscriptions, at the broker
npx comity run --config ${folder}
\`\`\`
`
}

function tableOf(entity: string): string {
  return entity.replace(/[^a-z0-9]+/g, '_')
}

function specifierOf(folder: string, from: string): string {
  return from.startsWith('/') || /^[A-Za-z]:/.test(from) ? relative(folder, from).split(sep).join('/') : from
}
