/** docs/operations.md, run: every command on real teams, in this order, each with what it prints (`npx vitest run test/operations -u`). */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { buildCli, comity } from '../../packages/cli/test/support/comity.ts'
import { readPage } from '../docs/page-tables.ts'
import { runSection, sectionsOf } from './page.ts'
import { SITUATIONS } from './situations.ts'
import { newWorld, type World } from './world.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '110'
  process.env.COMITY_AUTHOR = 'ada'
})
const { inProcess } = await import('../../packages/cli/test/support/in-process.ts')

const page = readPage('docs/operations.md')
const agency = new URL('./agency/', import.meta.url).pathname
const happened = new Set<string>()
let world: World
beforeAll(async () => {
  await buildCli()
  world = await newWorld(() => import('./agency/teams.ts'))
}, 180_000)
afterAll(() => world?.close())

describe('docs/operations.md', () => {
  const sections = sectionsOf(page)
  const ran: string[] = []

  test.each(sections)('$heading', { timeout: 60_000 }, async (section) => {
    ran.push(section.text)
    ran[ran.length - 1] = await runSection(section, { run, happen })
  })

  test('shows what the commands print', async () => {
    await expect((page.split(/^(?=## )/m)[0] as string) + ran.join('')).toMatchFileSnapshot('../../docs/operations.md')
  })

  test('says all that can happen, and nothing else', () => {
    expect([...happened].sort()).toEqual(Object.keys(SITUATIONS).sort())
  })
})

async function happen(what: string): Promise<readonly string[]> {
  const situation = SITUATIONS[what]
  if (situation === undefined) throw new Error(`nobody knows how to make this happen: ${what}`)
  happened.add(what)
  const values = await situation(world)
  return Array.isArray(values) ? values : []
}

async function run(line: string): Promise<string> {
  const words = [...line.matchAll(/[\w]+='[^']*'|'([^']*)'|"([^"]*)"|\S+/g)].map(([all, single, double]) => single ?? double ?? all)
  if (words[0] === 'psql') return (await world.crm.query(words.at(-1) as string)).rows.length > 0 ? '' : 'nothing'
  const env: Record<string, string> = {}
  while (/^[A-Z_]+=/.test(words[0] as string)) {
    const [name, value] = (words.shift() as string).split('=') as [string, string]
    env[name] = value
  }
  expect(words.shift()).toBe('comity')
  const at = words.indexOf('--config')
  const config = agency + (at < 0 ? '' : words.splice(at, 2)[1])
  const given = [...words, '--config', config]
  // In this process configurations are loaded once: what they read of the environment stays.
  const { stdout, stderr } = Object.keys(env).length > 0 ? await comity(given, { env }) : await inProcess(...given)
  // The databases have the names of tests.
  return ['CRM', 'MARKETING', 'BUS'].reduce((text, name) => {
    const database = new URL(process.env[`${name}_URL`] as string).pathname.slice(1)
    return text.replaceAll(database, name.toLowerCase())
  }, stdout + stderr)
}
