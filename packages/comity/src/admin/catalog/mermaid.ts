import type { Catalog, CatalogUse } from './catalog.ts'

/** The map as a flowchart of Mermaid: what each team owns in a box of that team, and an arrow to each team that reads it. */
export function mermaid({ teams, contracts }: Catalog): string {
  const teamId = new Map(teams.map(({ team }, index) => [team, `t${index}`]))
  const contractId = new Map(contracts.map(({ name }, index) => [name, `c${index}`]))
  const boxes = teams.flatMap(({ team }) => [
    `  subgraph ${teamId.get(team)}[${quoted(team)}]`,
    `    ${teamId.get(team)}in([${quoted(team)}])`,
    ...contracts.filter(({ owner }) => owner === team).map(({ name, kind }) => `    ${contractId.get(name)}${shape(kind, name)}`),
    '  end',
  ])
  const arrows = contracts.flatMap(({ name, uses }) =>
    uses.map((use) => `  ${contractId.get(name)} ${arrow(use)}|${quoted(label(use))}| ${teamId.get(use.team)}in`),
  )
  return ['flowchart LR', ...boxes, ...arrows, ''].join('\n')
}

function shape(kind: string | null, name: string): string {
  if (kind === 'entity') return `[(${quoted(name)})]`
  return kind === 'event' ? `>${quoted(name)}]` : `[${quoted(name)}]`
}

function arrow({ how }: CatalogUse): string {
  return { keeps: '==>', handles: '-->', asks: '-.->' }[how]
}

/** What an arrow says; long lists of fields are cut off. */
export function label({ how, holds }: CatalogUse): string {
  if (how !== 'keeps') return how
  const fields = holds.map(({ field }) => field)
  return `keeps ${fields.slice(0, 6).join(', ')}${fields.length > 6 ? ` and ${fields.length - 6} more` : ''}`
}

/** Names come from other teams: nothing in them ends the text, or the line. */
function quoted(text: string): string {
  return `"${text.replaceAll('"', '#quot;').replaceAll(/[\p{Cc}<>|]/gu, ' ')}"`
}
