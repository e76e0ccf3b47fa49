/** docs/catalog.md, run: its commands on real teams, each with what it prints (`npx vitest run test/catalog -u`). */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCatalog } from 'comity/admin'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { buildCli } from '../../packages/cli/test/support/comity.ts'
import { until } from '../chaos/until.ts'
import { readPage } from '../docs/page-tables.ts'
import { runSection } from '../operations/page.ts'
import { newWorld, type World } from '../operations/world.ts'

vi.hoisted(() => {
  process.env.NO_COLOR = '1'
  process.env.COLUMNS = '130'
})
const { inProcess } = await import('../../packages/cli/test/support/in-process.ts')

const agency = new URL('./agency/', import.meta.url).pathname
const page = readPage('docs/catalog.md')
let world: World
let folder: string

beforeAll(async () => {
  await buildCli()
  world = await newWorld(() => import('./agency/teams.ts'))
  folder = await mkdtemp(join(tmpdir(), 'comity-catalog-'))
  const { crm, marketing } = await import('./agency/teams.ts')
  for (const { declaration, environment } of [crm(), marketing()])
    await until(`${declaration.team} has the whole map`, async () => {
      const { teams, contracts } = await readCatalog(declaration, environment)
      return teams.every(({ presence, state }) => presence === 'here' && state !== null) && contracts.every(({ hash }) => hash !== null)
    })
}, 180_000)
afterAll(async () => {
  await world?.close()
  await rm(folder, { recursive: true, force: true })
})

async function run(line: string): Promise<string> {
  const [program, ...words] = line.split(' ')
  expect(program).toBe('comity')
  const inFolder = words.map((word, index) => (words[index - 1] === '--out' ? join(folder, word) : word))
  const { stdout, stderr } = await inProcess(...inFolder, '--config', agency)
  return (stdout + stderr).replaceAll(`${folder}/`, '')
}

test('docs/catalog.md shows what the commands print', { timeout: 180_000 }, async () => {
  const happen = async (): Promise<readonly string[]> => []
  await expect(await runSection({ heading: '', text: page }, { run, happen })).toMatchFileSnapshot('../../docs/catalog.md')
})

test('what was written for other tools is there', async () => {
  const read = (name: string) => readFile(join(folder, name), 'utf8')
  expect(JSON.parse(await read('asyncapi.json'))).toMatchObject({ asyncapi: '3.0.0', channels: { 'crm.customer': {} } })
  expect(await read('teams.svg')).toContain('crm.customer')
  expect(JSON.parse(await read('schemas/crm.customer.json'))).toMatchObject({ title: 'crm.customer' })
  expect(await read('catalog/domains/crm/services/crm/events/crm.customer/index.mdx')).toContain('schemaPath: "schema.json"')
})

test('a field that nobody has declared, and an export of no form, are errors that say what to do', async () => {
  expect(await run('comity who crm.customer.emial')).toContain('What to do: see "comity catalog"')
  expect(await run('comity catalog export')).toContain('What to do: give one of --asyncapi')
})
