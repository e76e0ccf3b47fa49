/** What the map says, and what other tools make of it: AsyncAPI's own parser, Ajv, Mermaid and XML by their grammar, EventCatalog by its schema. */

import { Parser } from '@asyncapi/parser'
import { entity, jsonSchema } from '@comity/contract'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { team } from 'comity'
import { asyncApi, type Catalog, eventCatalog, jsonSchemas, mermaid, picture, whoHolds } from 'comity/admin'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { assembleCatalog } from '../../src/admin/catalog/assemble.ts'
import type { KnownTeam } from '../../src/admin/catalog/catalog.ts'
import { fieldType } from '../../src/admin/catalog/field-type.ts'
import { declarationReport, ownContracts } from '../../src/admin/declaration-report.ts'
import { threeTeams } from './three-teams.ts'

/** With definitions, a tuple, an audience. */
const Tree = entity('garden.tree', {
  key: 'id',
  audiences: { shop: ['label'] },
  state: jsonSchema<{ id: string; label: string; nested: unknown }>({
    type: 'object',
    $defs: {
      leaf: { type: 'object', properties: { colour: { type: 'string' } } },
      branch: { type: 'object', properties: { left: { anyOf: [{ $ref: '#/$defs/leaf' }, { type: 'null' }] } } },
    },
    properties: {
      ...{
        id: { type: 'string' },
        label: { type: 'string' },
        size: { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }] },
      },
      nested: { $ref: '#/$defs/branch' },
    },
    required: ['id', 'label'],
  }),
})

function knownOf(one: ReturnType<typeof team>): KnownTeam {
  const { declaration } = one
  return {
    ...{ team: one.name, declaration: declarationReport(declaration), contracts: ownContracts(declaration), library: '0.6.0' },
    ...{ state: 'idle', seenAt: '2026-11-05T10:15:00.000Z', age: 10, fields: [] },
  }
}
/** What no contract of ours can be called, and another program might send: it would end a tag, a string and a line elsewhere. */
const STRANGE = '<b>"`{x}|\n'
function strange(known: KnownTeam): KnownTeam {
  const contracts = known.contracts.map(({ description, ...one }) => ({
    ...one,
    description: { ...description, fields: [...description.fields, STRANGE] },
  }))
  return { ...known, contracts, declaration: { ...(known.declaration as never as object), contact: STRANGE } as never }
}
const { crm, marketing, analysis } = threeTeams()
const garden = team('garden').owns(Tree)
const shop = team('shop').keeps(Tree, { fields: ['label'], audience: 'shop' })
const catalog: Catalog = assembleCatalog('crm', [
  ...[crm, marketing, analysis, shop].map((one) => knownOf(one as never)),
  strange(knownOf(garden as never)),
])

test('the map says who owns, who keeps which fields, who handles, and what nobody reads', () => {
  const customer = catalog.contracts.find(({ name }) => name === 'crm.customer')
  expect(customer?.fields.map(({ name, type, role, keptBy, unused }) => [name, type, role, keptBy, unused])).toEqual([
    ['id', 'string', 'key', ['marketing.crm-customer'], false],
    ['agencyId', 'string', 'tenant', ['marketing.crm-customer'], false],
    ['email', 'string (email)', 'data', ['marketing.crm-customer'], false],
    ['name', 'string', 'data', ['marketing.crm-customer'], false],
    ['phone', 'string | null', 'data', ['marketing.crm-customer'], false],
    ['shoeSize', 'integer', 'data', [], true],
    ['address', 'object | null', 'data', [], true],
  ])
  const sent = catalog.contracts.find(({ name }) => name === 'marketing.email-sent')
  expect(sent?.uses.map(({ team: reader, how, current }) => [reader, how, current])).toEqual([
    ['crm', 'handles', true],
    ['analysis', 'handles', true],
  ])
  expect(catalog.differing).toEqual([
    {
      field: 'name',
      types: [
        { type: 'string', contracts: ['crm.customer'] },
        { type: 'array of string', contracts: ['marketing.email-sent'] },
      ],
    },
  ])
})

test('another version of a contract at a reader is said', () => {
  const older = { ...knownOf(marketing as never) }
  const keeps = older.declaration?.keeps.map((one) => ({ ...one, hash: 'another' }))
  const { contracts } = assembleCatalog('crm', [knownOf(crm as never), { ...older, declaration: { ...older.declaration, keeps } as never }])
  expect(contracts[0]?.uses).toMatchObject([{ team: 'marketing', current: false }])
})

test('who holds a field: the owner, each copy with its column, what selects rows, and whoever is given it', () => {
  const short = (name: string) =>
    whoHolds(catalog, name).map(({ contract, field, team: who, how, column }) => [`${contract}.${field}`, who, how, column])
  expect(short('crm.customer.email')).toEqual([
    ['crm.customer.email', 'crm', 'owns', null],
    ['crm.customer.email', 'marketing', 'keeps', 'mail_address'],
  ])
  expect(short('crm.customer.phone')).toEqual([
    ['crm.customer.phone', 'crm', 'owns', null],
    ['crm.customer.phone', 'marketing', 'selects', null],
  ])
  expect(short('campaignId')).toEqual([
    ['marketing.email-sent.campaignId', 'marketing', 'owns', null],
    ['marketing.email-sent.campaignId', 'crm', 'given', null],
    ['marketing.email-sent.campaignId', 'analysis', 'given', null],
  ])
  expect(() => whoHolds(catalog, 'crm.customer.emial')).toThrow(expect.objectContaining({ code: 'COMITY_FIELD_NOT_DECLARED' }))
})

test('a type that does not end is none: what another team sends need not be a contract', () => {
  const endless = { $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }] }, b: { $ref: '#/$defs/b' } } } as never
  expect(fieldType({ $ref: '#/$defs/a' }, endless)).toBe('any')
  expect(fieldType({ $ref: '#/$defs/b' }, endless)).toBe('any')
})

test('AsyncAPI’s own parser has nothing to say about the export', async () => {
  const document = asyncApi(catalog, 'staging')
  const { document: parsed, diagnostics } = await new Parser().parse(JSON.stringify(document))
  expect(diagnostics.filter(({ severity }) => severity <= 1).map(({ message, path }) => `${path.join('.')}: ${message}`)).toEqual([])
  expect(
    parsed
      ?.channels()
      .all()
      .map((channel) => channel.address()),
  ).toEqual(['staging.crm.customer', 'staging.garden.tree.shop', 'staging.marketing.email-sent'])
  const operations = parsed
    ?.operations()
    .all()
    .map((one) => `${one.action()} ${one.id()}`)
  expect(operations).toContain('send crm.sends.crm.customer')
  expect(operations).toContain('receive marketing.crm-customer.keeps.crm.customer')
  expect(operations).toContain('receive analysis.marketing-email-sent.handles.marketing.email-sent')
  const tree = parsed?.components().schemas().get('garden.tree.shop')?.json() as { readonly properties: object }
  expect(Object.keys(tree.properties)).toEqual(['id', 'label'])
})

test('each contract’s JSON Schema takes its CloudEvents, and nothing that is none of it', () => {
  const schemas = jsonSchemas(catalog.contracts)
  expect(Object.keys(schemas)).toEqual(['crm.customer', 'garden.tree', 'marketing.email-sent'])
  const ajv = addFormats.default(new Ajv2020({ strict: false }))
  const valid = ajv.compile(schemas['garden.tree'] as object)
  const attributes = (kind: string) => ({
    ...{ specversion: '1.0', id: 'garden-1', source: '/teams/garden', type: 'garden.tree', subject: 't1', partitionkey: 't1' },
    ...{ time: '2026-11-05T10:15:00.123456Z', comityversion: '1', comitykind: kind },
  })
  const data = { id: 't1', label: 'oak', nested: { left: { colour: 'green' } } }
  expect(valid({ ...attributes('updated'), data })).toBe(true)
  expect(valid({ ...attributes('deleted') })).toBe(true)
  expect(valid({ ...attributes('deleted'), data })).toBe(false)
  expect(valid({ ...attributes('updated') })).toBe(false)
  expect(valid({ ...attributes('updated'), data: { id: 't1' } })).toBe(false)
  expect(valid({ ...attributes('updated'), data: { ...data, nested: { left: 7 } } })).toBe(false)
  expect(valid({ ...attributes('updated'), source: '/teams/evil', data })).toBe(false)
})

/** As EventCatalog's documentation of frontmatter has it: https://www.eventcatalog.dev/docs/api */
const pointer = z.object({ id: z.string(), version: z.string().regex(/^\d+\.\d+\.\d+(-[\da-z]+)?$/) })
const resource = z.strictObject({
  ...{ id: z.string(), name: z.string(), version: pointer.shape.version, summary: z.string().optional(), owners: z.array(z.string()) },
  ...{ schemaPath: z.string().optional(), sends: z.array(pointer).optional(), receives: z.array(pointer).optional() },
  ...{ services: z.array(pointer).optional(), entities: z.array(pointer).optional(), aggregateRoot: z.boolean().optional() },
  identifier: z.string().optional(),
  properties: z.array(z.object({ name: z.string(), type: z.string(), required: z.boolean() })).optional(),
})
const FRONTMATTER: readonly (readonly [RegExp, z.ZodType])[] = [
  [
    /^teams\/[\w.-]+\.mdx$/,
    z.strictObject({ id: z.string(), name: z.string(), summary: z.string().optional(), email: z.email().optional() }),
  ],
  [/^domains\/[\w.-]+\/index\.mdx$/, resource.required({ services: true })],
  [/^domains\/[\w.-]+\/services\/[\w.-]+\/index\.mdx$/, resource.required({ sends: true, receives: true })],
  [/^domains\/[\w.-]+\/services\/[\w.-]+\/events\/[\w.-]+\/index\.mdx$/, resource.required({ schemaPath: true })],
  [/^domains\/[\w.-]+\/services\/[\w.-]+\/entities\/[\w.-]+\/index\.mdx$/, resource.required({ identifier: true, properties: true })],
]

test('EventCatalog’s folders are as its schemas want them, and each pointer names a file', () => {
  const files = eventCatalog(catalog)
  const heads = files
    .filter(({ path }) => path.endsWith('.mdx'))
    .map(({ path, text }) => {
      const [, head = '', body = ''] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(text) ?? []
      // Outside of code nothing may be an expression or a tag of somebody else's.
      const prose = body.replaceAll(/`[^`]*`/g, '').replaceAll(/<NodeGraph \/>|<SchemaViewer file="schema\.json" \/>/g, '')
      expect(prose, path).not.toMatch(/[{}<>]/)
      const values = Object.fromEntries(
        head.split('\n').map((line) => [line.slice(0, line.indexOf(':')), JSON.parse(line.slice(line.indexOf(':') + 1))]),
      )
      return { path, values }
    })
  for (const { path, values } of heads) {
    const schema = FRONTMATTER.find(([pattern]) => pattern.test(path))?.[1]
    expect(schema?.safeParse(values).error, path).toBeUndefined()
    expect(schema, path).toBeDefined()
  }
  const ids = (folder: RegExp) => heads.filter(({ path }) => folder.test(path)).map(({ values }) => `${values.id} ${values.version}`)
  const services = heads.filter(({ path }) => /services\/[\w-]+\/index/.test(path))
  const pointed = services.flatMap(({ values }) => [...values.sends, ...values.receives].map((one) => `${one.id} ${one.version}`))
  expect([...new Set(pointed)].sort()).toEqual(ids(/\/events\//).sort())
  expect(services.find(({ values }) => values.id === 'marketing')?.values).toMatchObject({
    sends: [{ id: 'marketing.email-sent' }],
    receives: [{ id: 'crm.customer' }],
  })
  for (const { path, values } of heads.filter(({ values: one }) => one.schemaPath !== undefined)) {
    const schema = files.find((file) => file.path === path.replace('index.mdx', values.schemaPath))
    expect(JSON.parse(schema?.text ?? '')).toMatchObject({ type: 'object' })
  }
})

test('the picture is well-formed, shows each contract, team and copy, and lies within its bounds', () => {
  const svg = picture(catalog)
  const open: string[] = []
  for (const [, close, name, attributes, empty] of svg.matchAll(/<(\/?)(\w+)((?: [\w-]+="[^"<>]*")*)(\/?)>/g)) {
    if (close) expect(open.pop()).toBe(name)
    else if (!empty) open.push(name as string)
    expect(attributes).not.toMatch(/NaN|undefined/)
  }
  expect(open).toEqual([])
  const shown = svg.replaceAll(/<(\/?)(\w+)((?: [\w-]+="[^"<>]*")*)(\/?)>/g, '')
  expect(shown).not.toMatch(/[<>]/)
  for (const text of [
    'crm',
    'marketing',
    'analysis',
    'garden.tree',
    'crm.customer: id, agencyId, email, name',
    'handles marketing.email-sent',
  ])
    expect(shown).toContain(text)
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []
  for (const [, x, y, w, h] of svg.matchAll(/<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"/g)) {
    expect(Number(x) + Number(w)).toBeLessThan(Number(width))
    expect(Number(y) + Number(h)).toBeLessThan(Number(height))
  }
})

test('Mermaid gets a box for each team and an arrow for each reader', () => {
  expect(
    mermaid(catalog)
      .split('\n')
      .filter((line) => / (==>|-->|-\.->)\|/.test(line)),
  ).toEqual([
    '  c0 ==>|"keeps id, agencyId, email, name"| t3in',
    '  c1 ==>|"keeps id, label"| t4in',
    '  c2 -->|"handles"| t1in',
    '  c2 -->|"handles"| t0in',
  ])
  expect(mermaid(catalog)).toContain('  subgraph t1["crm"]\n    t1in(["crm"])\n    c0[("crm.customer")]\n  end')
})
