import type { Catalog, CatalogContract, CatalogUse } from './catalog.ts'

/** Measures in pixels. */
const ROW = 24
const HEAD = 30
const GAP = 22
const MARGIN = 24
/** Above the boxes, for what the columns are. */
const TOP = 52
/** Between a box and its text. */
const PAD = 14
const SIZE = 13
/** Of a column: as wide as its names need; what is longer than any name can be is cut. */
const NARROWEST = { left: 340, right: 420 }
const WIDEST = 900
/** Between the columns. */
const LINES = 312

interface Column {
  readonly x: number
  readonly width: number
}

/** The picture has a ground of its own: on a dark page it stays as readable as on a light one. */
const PAPER = '#ffffff'
const PALE = '#f8fafc'
const INK = '#0f172a'
const GREY = '#475569'
/** Colours that can be told apart on white, also by those who see few of them: a line's style says the same. */
const COLOURS = ['#2563eb', '#c2410c', '#047857', '#7c3aed', '#b91c1c', '#0e7490', '#a16207', '#be185d']
const DASHES: Readonly<Record<CatalogUse['how'], string>> = { keeps: '', handles: '7 4', asks: '2 4' }

interface Row {
  readonly text: string
  /** What of the text has to be seen. */
  readonly name: string
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
  const leftRows = owners.map((team) => ({ team, rows: contracts.filter(({ owner }) => owner === team).map(contractRow) }))
  const rightRows = (readers: readonly string[]): readonly Rows[] =>
    readers.map((team) => ({
      team,
      rows: contracts.flatMap((one) => one.uses.filter((use) => use.team === team).map((use) => useRow(one, use))),
    }))
  const reading = [...new Set(contracts.flatMap((one) => one.uses.map(({ team }) => team)))]
  // The shorter column stands in the middle of the longer one's height.
  const [tall, taller] = [heightOf(leftRows), heightOf(rightRows(reading))]
  const left = boxesOf(leftRows, TOP + Math.max(0, Math.round((taller - tall) / 2)))
  const uses = contracts.flatMap((contract) =>
    contract.uses.map((use) => ({ contract, use, from: rowY(left, contract.owner, contract.name) })),
  )
  const middle = (team: string): number => {
    const ys = uses.filter(({ use }) => use.team === team).map(({ from }) => from)
    return ys.reduce((sum, y) => sum + y, 0) / ys.length
  }
  const right = boxesOf(rightRows(reading.sort((a, b) => middle(a) - middle(b))), TOP + Math.max(0, Math.round((tall - taller) / 2)))
  const leftColumn = { x: MARGIN, width: widthFor(left, NARROWEST.left) }
  const rightColumn = { x: leftColumn.x + leftColumn.width + LINES, width: widthFor(right, NARROWEST.right) }
  const width = rightColumn.x + rightColumn.width + MARGIN
  const height = TOP + Math.max(tall, taller) + 40
  const lines = uses.map(({ contract, use, from }) => {
    const [x1, x2] = [leftColumn.x + leftColumn.width, rightColumn.x]
    const to = rowY(right, use.team, idOf(contract, use))
    const bend = (x2 - x1) / 2
    const path = `M${x1} ${from} C${x1 + bend} ${from} ${x2 - bend} ${to} ${x2} ${to}`
    const dash = DASHES[use.how] === '' ? '' : ` stroke-dasharray="${DASHES[use.how]}"`
    return `<path d="${path}" fill="none" stroke="${colour.get(contract.owner) ?? COLOURS[0]}" stroke-width="1.5"${dash}><title>${escaped(`${contract.name} → ${use.team}`)}</title></path>`
  })
  const draw = (boxes: readonly Box[], at: Column): readonly string[] =>
    boxes.flatMap((box) => drawn(box, at, colour.get(box.team) ?? (COLOURS[0] as string)))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="${SIZE}">`,
    `<title>${escaped(`Who owns what, and who reads it, as ${seenBy} knows it`)}</title>`,
    `<rect width="${width}" height="${height}" fill="${PAPER}"/>`,
    ...lines,
    heading(leftColumn, 'owns, publishes, answers'),
    heading(rightColumn, 'keeps, handles, asks'),
    ...draw(left, leftColumn),
    ...draw(right, rightColumn),
    ...legend(height),
    '</svg>',
    '',
  ].join('\n')
}

function contractRow({ name, kind, fields, uses }: CatalogContract): Omit<Row, 'y'> & { readonly id: string } {
  const readers = uses.length === 0 ? 'nobody reads it' : `read by ${[...new Set(uses.map(({ team }) => team))].join(', ')}`
  const text = `${name}${kind === null || kind === 'entity' ? '' : ` (${kind})`}`
  return {
    ...{ id: name, text, name: text },
    hint: `${name}: ${fields.map((field) => field.name).join(', ')}; ${readers}`,
  }
}

function useRow(contract: CatalogContract, use: CatalogUse): Omit<Row, 'y'> & { readonly id: string } {
  const { how, holds, table } = use
  const fields = holds.map(({ field }) => field).join(', ')
  const name = `${how} ${contract.name}`
  if (how !== 'keeps') return { id: idOf(contract, use), text: name, name, hint: name }
  return {
    ...{ id: idOf(contract, use), text: `${contract.name}: ${fields}`, name: `${contract.name}: …` },
    hint: `${contract.name}: ${fields} in ${table ?? 'a table'}`,
  }
}

function idOf({ name }: CatalogContract, { how, subscription }: CatalogUse): string {
  return `${how} ${name} ${subscription ?? ''}`
}

interface Rows {
  readonly team: string
  readonly rows: readonly (Omit<Row, 'y'> & { readonly id: string })[]
}

/** Of all boxes of a column, one below the other. */
function heightOf(teams: readonly Rows[]): number {
  return teams.reduce((sum, { rows }) => sum + boxHeight(rows.length) + GAP, -GAP)
}
function boxHeight(rows: number): number {
  return HEAD + rows * ROW + 8
}

function boxesOf(teams: readonly Rows[], top: number): readonly Box[] {
  let y = top
  return teams.map(({ team, rows }) => {
    const box = {
      ...{ team, y, height: boxHeight(rows.length) },
      rows: new Map(rows.map(({ id, text, name, hint }, index) => [id, { text, name, hint, y: y + HEAD + index * ROW }])),
    }
    y += box.height + GAP
    return box
  })
}

/** The middle of a row. */
function rowY(boxes: readonly Box[], team: string, id: string): number {
  return (boxes.find((box) => box.team === team)?.rows.get(id)?.y ?? TOP) + ROW / 2
}

/** A list of fields is no reason to make a column wider, a name is. */
function widthFor(boxes: readonly Box[], narrowest: number): number {
  const needs = boxes.flatMap(({ team, rows }) => [BOLD * measure(team), ...[...rows.values()].map(({ name }) => measure(name))])
  return Math.min(WIDEST, Math.max(narrowest, ...needs.map((need) => Math.ceil(need) + 2 * PAD)))
}

function heading({ x }: Column, text: string): string {
  return `<text x="${x}" y="${TOP - 16}" fill="${GREY}">${text}</text>`
}

function drawn({ team, y, height, rows }: Box, { x, width }: Column, colour: string): readonly string[] {
  const room = width - 2 * PAD
  return [
    `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="8" fill="${PALE}" stroke="${colour}" stroke-width="1.5"/>`,
    `<text x="${x + PAD}" y="${y + 20}" font-weight="600" fill="${colour}">${escaped(cut(team, room / BOLD))}</text>`,
    ...[...rows.values()].map(
      ({ text, hint, y: at }) =>
        `<text x="${x + PAD}" y="${at + 16}" fill="${INK}">${escaped(cut(text, room))}<title>${escaped(hint.slice(0, 500))}</title></text>`,
    ),
  ]
}

function legend(height: number): readonly string[] {
  return (Object.keys(DASHES) as CatalogUse['how'][]).flatMap((how, index) => {
    const x = MARGIN + index * 130
    const dash = DASHES[how] === '' ? '' : ` stroke-dasharray="${DASHES[how]}"`
    return [
      `<path d="M${x} ${height - 24} h36" stroke="${GREY}" stroke-width="1.5"${dash}/>`,
      `<text x="${x + 44}" y="${height - 20}" fill="${GREY}">${how}</text>`,
    ]
  })
}

/** As much of a text as fits into so many pixels. */
function cut(text: string, width: number): string {
  if (measure(text) <= width) return text
  const characters = [...text]
  while (characters.length > 0 && measure(`${characters.join('')}…`) > width) characters.pop()
  return `${characters.join('')}…`
}

/** Of bold letters. */
const BOLD = 1.12
const NARROW = new Set(" !'(),-./:;I[\\]fijlrt|")
const WIDE = new Set('%@MWmw…')
/**
 * How wide a text can be, in pixels. Nobody knows the font that it will be seen in: these are the widths of a wide one, DejaVu Sans, by four kinds
 * of letters, each of them the widest of its kind.
 */
function measure(text: string): number {
  let ems = 0
  for (const character of text)
    ems += NARROW.has(character) ? 0.42 : WIDE.has(character) || character > '~' ? 1 : /[a-z0-9_{}$"*?]/.test(character) ? 0.64 : 0.84
  return ems * SIZE
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
/** Names come from other teams. */
function escaped(text: string): string {
  return text.replaceAll(/[\p{Cc}\ufffe\uffff]/gu, ' ').replaceAll(/[&<>"]/g, (character) => ENTITIES[character] as string)
}
