import type { Catalog, CatalogContract, CatalogUse } from './catalog.ts'

/** Measures in pixels. */
const ROW = 24
const HEAD = 30
const GAP = 22
const MARGIN = 24
const WIDTH = 1120
const LEFT = { x: MARGIN, width: 340 }
const RIGHT = { x: WIDTH - MARGIN - 420, width: 420 }
/** Characters of a line that fit into its box. */
const FIT = { left: 40, right: 52 }

/** Colours that can be told apart on white, also by those who see few of them: a line's style says the same. */
const COLOURS = ['#2563eb', '#c2410c', '#047857', '#7c3aed', '#b91c1c', '#0e7490', '#a16207', '#be185d']
const DASHES: Readonly<Record<CatalogUse['how'], string>> = { keeps: '', handles: '7 4', asks: '2 4' }

interface Row {
  readonly text: string
  readonly hint: string
  readonly y: number
}
interface Box {
  readonly team: string
  readonly y: number
  readonly height: number
  readonly rows: ReadonlyMap<string, Row>
}

/**
 * The map as a picture (SVG): on the left what each team owns and publishes, on the right what each team reads, a line from the one to the other.
 * Its height grows with what there is. Readers stand near what they read, so that few lines cross.
 */
export function picture({ teams, contracts, seenBy }: Catalog): string {
  const owners = [...new Set(contracts.map(({ owner }) => owner))].sort()
  const colour = new Map(teams.map(({ team }, index) => [team, COLOURS[index % COLOURS.length] as string]))
  const left = boxesOf(owners.map((team) => ({ team, rows: contracts.filter(({ owner }) => owner === team).map(contractRow) })))
  const uses = contracts.flatMap((contract) =>
    contract.uses.map((use) => ({ contract, use, from: rowY(left, contract.owner, contract.name) })),
  )
  const middle = (team: string): number => {
    const ys = uses.filter(({ use }) => use.team === team).map(({ from }) => from)
    return ys.reduce((sum, y) => sum + y, 0) / ys.length
  }
  const readers = [...new Set(uses.map(({ use }) => use.team))].sort((a, b) => middle(a) - middle(b))
  const right = boxesOf(
    readers.map((team) => ({ team, rows: uses.filter(({ use }) => use.team === team).map(({ contract, use }) => useRow(contract, use)) })),
  )
  const height = Math.max(bottom(left), bottom(right)) + 40
  const lines = uses.map(({ contract, use, from }) => {
    const [x1, x2] = [LEFT.x + LEFT.width, RIGHT.x]
    const to = rowY(right, use.team, idOf(contract, use))
    const bend = (x2 - x1) / 2
    const path = `M${x1} ${from} C${x1 + bend} ${from} ${x2 - bend} ${to} ${x2} ${to}`
    const dash = DASHES[use.how] === '' ? '' : ` stroke-dasharray="${DASHES[use.how]}"`
    return `<path d="${path}" fill="none" stroke="${colour.get(contract.owner) ?? COLOURS[0]}" stroke-width="1.5"${dash}><title>${escaped(`${contract.name} → ${use.team}`)}</title></path>`
  })
  const draw = (boxes: readonly Box[], at: typeof LEFT): readonly string[] =>
    boxes.flatMap((box) => drawn(box, at, colour.get(box.team) ?? (COLOURS[0] as string)))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${escaped(`Who owns what, and who reads it, as ${seenBy} knows it`)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...lines,
    ...draw(left, LEFT),
    ...draw(right, RIGHT),
    ...legend(height),
    '</svg>',
    '',
  ].join('\n')
}

function contractRow({ name, kind, fields, uses }: CatalogContract): Omit<Row, 'y'> & { readonly id: string } {
  const readers = uses.length === 0 ? 'nobody reads it' : `read by ${[...new Set(uses.map(({ team }) => team))].join(', ')}`
  return {
    id: name,
    text: `${name}${kind === null || kind === 'entity' ? '' : ` (${kind})`}`,
    hint: `${fields.map((field) => field.name).join(', ')}; ${readers}`,
  }
}

function useRow(contract: CatalogContract, use: CatalogUse): Omit<Row, 'y'> & { readonly id: string } {
  const { how, holds, table } = use
  const fields = holds.map(({ field }) => field).join(', ')
  return {
    id: idOf(contract, use),
    text: how === 'keeps' ? `${contract.name}: ${fields}` : `${how} ${contract.name}`,
    hint: how === 'keeps' ? `${fields} in ${table ?? 'a table'}` : `${how} ${contract.name}`,
  }
}

function idOf({ name }: CatalogContract, { how, subscription }: CatalogUse): string {
  return `${how} ${name} ${subscription ?? ''}`
}

function boxesOf(
  teams: readonly { readonly team: string; readonly rows: readonly (Omit<Row, 'y'> & { readonly id: string })[] }[],
): readonly Box[] {
  let y = MARGIN
  return teams.map(({ team, rows }) => {
    const box = {
      ...{ team, y, height: HEAD + rows.length * ROW + 8 },
      rows: new Map(rows.map(({ id, text, hint }, index) => [id, { text, hint, y: y + HEAD + index * ROW }])),
    }
    y += box.height + GAP
    return box
  })
}

/** The middle of a row. */
function rowY(boxes: readonly Box[], team: string, id: string): number {
  return (boxes.find((box) => box.team === team)?.rows.get(id)?.y ?? MARGIN) + ROW / 2
}

function bottom(boxes: readonly Box[]): number {
  const last = boxes.at(-1)
  return last === undefined ? MARGIN : last.y + last.height
}

function drawn({ team, y, height, rows }: Box, { x, width }: typeof LEFT, colour: string): readonly string[] {
  const fit = x === LEFT.x ? FIT.left : FIT.right
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8" fill="#f8fafc" stroke="${colour}" stroke-width="1.5"/>`,
    `<text x="${x + 14}" y="${y + 20}" font-weight="600" fill="${colour}">${escaped(cut(team, fit))}</text>`,
    ...[...rows.values()].map(
      ({ text, hint, y: at }) =>
        `<text x="${x + 14}" y="${at + 16}" fill="#0f172a">${escaped(cut(text, fit))}<title>${escaped(cut(hint, 500))}</title></text>`,
    ),
  ]
}

function legend(height: number): readonly string[] {
  return (Object.keys(DASHES) as CatalogUse['how'][]).flatMap((how, index) => {
    const x = MARGIN + index * 130
    const dash = DASHES[how] === '' ? '' : ` stroke-dasharray="${DASHES[how]}"`
    return [
      `<path d="M${x} ${height - 24} h36" stroke="#475569" stroke-width="1.5"${dash}/>`,
      `<text x="${x + 44}" y="${height - 20}" fill="#475569">${how}</text>`,
    ]
  })
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
/** Names come from other teams. */
function escaped(text: string): string {
  return text.replaceAll(/[\p{Cc}\ufffe\uffff]/gu, ' ').replaceAll(/[&<>"]/g, (character) => ENTITIES[character] as string)
}
