/** The picture of the map by its measures: nothing over the edge of anything else, whatever names are in it. */
import { entity, event, jsonSchema, request } from '@comity/contract'
import { type Team, team } from 'comity'
import { type Catalog, picture } from 'comity/admin'
import { expect, test } from 'vitest'
import { assembleCatalog } from '../../src/admin/catalog/assemble.ts'
import { declarationReport, ownContracts } from '../../src/admin/declaration-report.ts'

/** How far each character from blank to ~ goes in DejaVu Sans, in thousandths of the size: its table hmtx. */
const ADVANCES = [
  ...[
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 337,
    337,
  ],
  ...[
    838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684,
  ],
  ...[
    989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635,
    411,
  ],
  ...[521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838],
]
const widthOf = (text: string, size: number): number =>
  [...text].reduce((sum, one) => sum + ((ADVANCES[one.charCodeAt(0) - 32] ?? 1000) / 1000) * size, 0)

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}
const within = (inner: Box, outer: Box): boolean =>
  inner.x >= outer.x &&
  inner.y >= outer.y &&
  inner.x + inner.width <= outer.x + outer.width &&
  inner.y + inner.height <= outer.y + outer.height
const apart = (a: Box, b: Box): boolean => a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y

function catalogOf(teams: readonly Team<never>[]): Catalog {
  const known = teams.map(({ name, declaration }) => ({
    ...{ team: name, declaration: declarationReport(declaration), contracts: ownContracts(declaration) },
    ...{ library: '1.0.0', state: 'idle', seenAt: null, age: 10, fields: [] },
  }))
  return assembleCatalog('crm', known as never)
}
const of = (...fields: readonly string[]) =>
  jsonSchema<Record<string, string>>({
    type: 'object',
    properties: Object.fromEntries(['id', ...fields].map((field) => [field, { type: 'string' }])),
    required: ['id', ...fields],
  })
const FIELDS = Array.from({ length: 12 }, (_, i) => `WWWWMMMM${i}`)
/** The longest names, of the widest and of the narrowest letters. */
const Wide = entity(`${'w'.repeat(10)}.${'m'.repeat(52)}`, { key: 'id', state: of(...FIELDS) })
const Narrow = entity(`${'i'.repeat(30)}.${'l'.repeat(32)}`, { key: 'id', state: of() })
const Ask = request(`${'w'.repeat(10)}.${'w'.repeat(40)}`, { entity: Wide, key: 'id', data: of() } as never)
const Sent = event('crm.sent', { key: 'id', data: of() })
const nothing = (): undefined => undefined
const readers = Array.from({ length: 9 }, (_, i) =>
  team(`r${'m'.repeat(20)}-${'abcdefghi'[i]}`)
    .keeps(Wide, { fields: FIELDS as never, name: 'wide' })
    .on(Narrow, nothing, { name: 'narrow' })
    .on(Sent, nothing)
    .asks(Ask as never),
)
const MAPS: readonly (readonly [string, readonly Team<never>[]])[] = [
  ['nobody else', [team('crm') as never]],
  ['few', [team('crm').publishes(Sent) as never, team('analysis').on(Sent, nothing) as never]],
  [
    'the widest and the narrowest names, and many readers',
    [
      team('w'.repeat(10))
        .owns(Wide)
        .answers(Ask as never, nothing as never) as never,
      team('i'.repeat(30)).owns(Narrow) as never,
      team('crm').publishes(Sent) as never,
      ...(readers as never[]),
    ],
  ],
  ['more owners than readers', [...'abcdefghi'].map((one) => team(one).owns(entity(`${one}.thing`, { key: 'id', state: of() })) as never)],
]

test.each(MAPS)('with %s, every text is in its box, boxes do not meet, and all of it is on the canvas', (_, teams) => {
  const svg = picture(catalogOf(teams))
  const [, width, height, size] = /viewBox="0 0 (\d+) (\d+)".* font-size="(\d+)"/.exec(svg) as unknown as [string, string, string, string]
  const canvas = { x: 0, y: 0, width: Number(width), height: Number(height) }
  const boxes = [...svg.matchAll(/<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"/g)].map(
    ([, x, y, w, h]): Box => ({ x: Number(x), y: Number(y), width: Number(w), height: Number(h) }),
  )
  const texts = [...svg.matchAll(/<text x="(\d+)" y="(\d+)"( font-weight="600")?[^>]*>([^<]*)/g)].map(([, x, y, bold, text]) => ({
    text: text as string,
    // From the tallest letter's top to the lowest one's foot.
    box: { x: Number(x), y: Number(y) - 11, width: widthOf(text as string, Number(size)) * (bold ? 1.1 : 1), height: 14 },
  }))
  const outside = [...boxes, ...texts.map(({ box }) => box)].filter((box) => !within(box, canvas))
  expect(outside).toEqual([])
  const meeting = boxes.filter((box, i) => boxes.some((other, j) => j > i && !apart(box, other)))
  expect(meeting).toEqual([])
  // Headings and legend are in no box; they touch none either.
  const crossing = texts.filter(({ box }) => !boxes.some((one) => within(box, one)) && !boxes.every((one) => apart(box, one)))
  expect(crossing).toEqual([])
  expect(texts.filter(({ box }, i) => texts.some((other, j) => j > i && !apart(box, other.box)))).toEqual([])
  // Each line begins and ends at the edge of a box.
  for (const [, x1, y1, x2, y2] of svg.matchAll(/<path d="M(\d+) (\d+) C.* (\d+) (\d+)" fill="none"/g)) {
    const on = (x: string, y: string, side: (box: Box) => number) =>
      boxes.some((box) => side(box) === Number(x) && box.y < Number(y) && Number(y) < box.y + box.height)
    expect(on(x1 as string, y1 as string, (box) => box.x + box.width) && on(x2 as string, y2 as string, (box) => box.x)).toBe(true)
  }
})

test('a name is never cut, and what is cut of a list of fields shows where the pointer rests', () => {
  const svg = picture(catalogOf((MAPS[2] as (typeof MAPS)[number])[1]))
  const rows = [...svg.matchAll(/<text [^>]*>([^<]*)<title>([^<]*)<\/title>/g)].map(
    ([, text, hint]) => [text as string, hint as string] as const,
  )
  for (const name of [Wide.name, Narrow.name, `${(Ask as { name: string }).name} (request)`])
    expect(rows.map(([text]) => text)).toContain(name)
  const cut = rows.filter(([text]) => text.endsWith('…'))
  expect(cut).toHaveLength(9)
  for (const [text, hint] of cut) {
    expect(text.startsWith(`${Wide.name}: `)).toBe(true)
    expect(hint).toContain(`${Wide.name}: id, ${FIELDS.join(', ')} in `)
  }
})

test('text and lines stand out from what is behind them, on a page of any colour', () => {
  const svg = picture(catalogOf((MAPS[2] as (typeof MAPS)[number])[1]))
  const grounds = [...svg.matchAll(/<rect [^>]*fill="(#[0-9a-f]{6})"/g)].map(([, colour]) => colour as string)
  // Its own ground, over the whole of it: nothing of the page shows through.
  expect(svg).toMatch(/viewBox="0 0 (\d+) (\d+)"[\s\S]*?<rect width="\1" height="\2" fill="#ffffff"\/>/)
  const inks = [...svg.matchAll(/(?:<text [^>]*fill|stroke)="(#[0-9a-f]{6})"/g)].map(([, colour]) => colour as string)
  expect(new Set(inks).size).toBeGreaterThan(5)
  for (const ground of new Set(grounds))
    for (const ink of new Set(inks)) expect(contrast(ink, ground), `${ink} on ${ground}`).toBeGreaterThan(4.5)
})

/** https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio */
function contrast(a: string, b: string): number {
  const light = (colour: string): number => {
    const [r, g, blue] = [1, 3, 5].map((at) => {
      const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    }) as [number, number, number]
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue
  }
  const [dark, bright] = [light(a), light(b)].sort((x, y) => x - y) as [number, number]
  return (bright + 0.05) / (dark + 0.05)
}
