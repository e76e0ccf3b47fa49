import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cruise, type IConfiguration, type ICruiseResult, type IForbiddenRuleType } from 'dependency-cruiser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const config = createRequire(import.meta.url)('../.dependency-cruiser.cjs') as Required<Pick<IConfiguration, 'forbidden' | 'options'>>
const root = new URL('../', import.meta.url)

/** Files of a small repository, by path; the text is only what is imported. */
type Files = Readonly<Record<string, readonly string[]>>

/** For each rule one import that it must find. The name of the file is the rule's, so that one run over all of them shows each. */
const violations: Readonly<Record<string, Files>> = {
  // a folder and the one just below it in the table, or beside it
  'layer-foundation': { 'packages/comity/src/foundation/layer-foundation.ts': ['../schema/x.ts'] },
  'layer-schema': { 'packages/comity/src/schema/layer-schema.ts': ['../postgres/x.ts'] },
  'layer-postgres': { 'packages/comity/src/postgres/layer-postgres.ts': ['../adapters/x.ts'] },
  'layer-adapters': { 'packages/comity/src/adapters/layer-adapters.ts': ['../transport/x.ts'] },
  'layer-transport': { 'packages/comity/src/transport/layer-transport.ts': ['../outbox/x.ts'] },
  'layer-outbox': { 'packages/comity/src/outbox/layer-outbox.ts': ['../relay/x.ts'] },
  'layer-relay': { 'packages/comity/src/relay/layer-relay.ts': ['../subscription/x.ts'] },
  'layer-subscription': { 'packages/comity/src/subscription/layer-subscription.ts': ['../replica/x.ts'] },
  'layer-replica': { 'packages/comity/src/replica/layer-replica.ts': ['../control/x.ts'] },
  'layer-control': { 'packages/comity/src/control/layer-control.ts': ['../catalog/x.ts'] },
  'layer-catalog': { 'packages/comity/src/catalog/layer-catalog.ts': ['../request/x.ts'] },
  'layer-request': { 'packages/comity/src/request/layer-request.ts': ['../backfill/x.ts'] },
  'layer-backfill': { 'packages/comity/src/backfill/layer-backfill.ts': ['../audit/x.ts'] },
  'layer-erasure': { 'packages/comity/src/erasure/layer-erasure.ts': ['../backfill/x.ts'] },
  'layer-audit': { 'packages/comity/src/audit/layer-audit.ts': ['../admin/x.ts'] },
  'layer-admin': { 'packages/comity/src/admin/layer-admin.ts': ['../team/x.ts'] },
  'layer-team': { 'packages/comity/src/team/layer-team.ts': ['../testing/x.ts'] },
  'layer-http': { 'packages/comity/src/http/layer-http.ts': ['../team/x.ts'] },
  'outbox-knows-no-transport': { 'packages/comity/src/outbox/outbox-knows-no-transport.ts': ['../transport/x.ts'] },
  'subscription-knows-no-outbox': { 'packages/comity/src/subscription/subscription-knows-no-outbox.ts': ['type ../outbox/x.ts'] }, // types count, too
  'relay-is-a-pipe': { 'packages/comity/src/relay/relay-is-a-pipe.ts': ['../adapters/x.ts'] },
  'transport-touches-no-database': { 'packages/comity/src/transport/memory/transport-touches-no-database.ts': ['../../postgres/x.ts'] },
  'adapters-are-structural': { 'packages/comity/src/adapters/adapters-are-structural.ts': ['orm'] },
  'nobody-imports-testing': { 'packages/cli/src/nobody-imports-testing.ts': ['comity/testing'] },
  'production-imports-no-tests': { 'packages/cli/src/production-imports-no-tests.ts': ['../test/x.ts'] },
  'contract-depends-on-nothing': { 'packages/contract/src/contract-depends-on-nothing.ts': ['node:crypto'] },
  'embedded-postgres-depends-on-nothing': {
    'packages/embedded-postgres/src/embedded-postgres-depends-on-nothing.ts': ['@comity/contract'],
  },
  'engine-knows-no-other-package': { 'packages/comity/src/team/engine-knows-no-other-package.ts': ['@comity/cli'] },
  'console-sees-admin-only': { 'packages/console/src/console-sees-admin-only.ts': ['comity'] },
  'cli-sees-the-public-engine': { 'packages/cli/src/cli-sees-the-public-engine.ts': ['../../comity/src/relay/x.ts'] },
  'transport-packages-see-the-seam': { 'packages/nats/src/transport-packages-see-the-seam.ts': ['comity/admin'] },
  'transport-packages-are-apart': { 'packages/nats/src/transport-packages-are-apart.ts': ['../../google-pubsub/src/x.ts'] },
  'integrations-see-the-public-engine': { 'packages/nestjs/src/integrations-see-the-public-engine.ts': ['comity/transport'] },
  'packages-by-name': { 'packages/cli/src/packages-by-name.ts': ['../../comity/src/index.ts'] },
  'no-cycle': { 'packages/cli/src/no-cycle.ts': ['./cycle.ts'], 'packages/cli/src/cycle.ts': ['./no-cycle.ts'] },
  'declared-dependency': { 'packages/cli/src/declared-dependency.ts': ['undeclared'] },
  'no-dev-dependency-in-production': { 'packages/cli/src/no-dev-dependency-in-production.ts': ['tool'] },
  resolvable: { 'packages/cli/src/resolvable.ts': ['./nowhere.ts'] },
}

/** What the table allows, some of it beside what it forbids. */
const allowed: Files = {
  'packages/comity/src/schema/allowed.ts': ['../foundation/x.ts', '@comity/contract'],
  'packages/comity/src/adapters/allowed.ts': ['../postgres/x.ts'],
  'packages/comity/src/postgres/allowed.ts': ['orm'],
  'packages/comity/src/transport/postgres/allowed.ts': ['../../postgres/x.ts'],
  'packages/comity/src/transport/allowed.ts': ['./memory/x.ts', './postgres/x.ts'],
  'packages/comity/src/outbox/allowed.ts': ['../postgres/x.ts', '../schema/x.ts'],
  'packages/comity/src/relay/allowed.ts': ['../outbox/x.ts', '../transport/x.ts'],
  'packages/comity/src/subscription/allowed.ts': ['../transport/x.ts', '../postgres/x.ts'],
  'packages/comity/src/audit/allowed.ts': ['../replica/x.ts', '../backfill/x.ts', '../relay/x.ts'],
  'packages/comity/src/team/allowed.ts': ['../http/x.ts', '../admin/x.ts', '../outbox/x.ts'],
  'packages/comity/src/testing/allowed.ts': ['../team/x.ts'],
  'packages/cli/src/allowed.ts': ['comity', 'comity/admin', 'orm', 'node:fs'],
  'packages/cli/test/allowed.test.ts': ['comity/testing', 'tool', '../src/allowed.ts'],
  'packages/console/src/allowed.ts': ['comity/admin'],
  'packages/nats/src/allowed.ts': ['comity/transport', '@comity/contract', 'orm'],
  'packages/nestjs/src/allowed.ts': ['comity', '@comity/contract', 'orm'],
  'packages/embedded-postgres/src/allowed.ts': ['node:net'],
}

const FOLDERS =
  'foundation schema postgres adapters transport transport/memory transport/postgres outbox relay subscription replica control catalog request backfill audit admin team http testing'
const targets = [
  ...FOLDERS.split(' ').map((folder) => `packages/comity/src/${folder}/x.ts`),
  ...['admin', 'testing', 'transport'].map((folder) => `packages/comity/src/${folder}/index.ts`),
  ...['comity', 'contract', 'cli'].map((name) => `packages/${name}/src/index.ts`),
  ...['packages/google-pubsub/src/x.ts', 'packages/cli/test/x.ts'],
]

let found: ICruiseResult
let repository: string

beforeAll(async () => {
  repository = await realpath(await mkdtemp(join(tmpdir(), 'comity-boundaries-')))
  for (const path of targets) await write(path, 'export const x = 1\n')
  for (const [path, imports] of [...Object.values(violations), allowed].flatMap((files) => Object.entries(files))) {
    await write(path, imports.map(importOf).join(''))
  }
  for (const [folder, name] of Object.entries(packageNames)) await writePackage(folder, name)
  for (const name of ['orm', 'tool', 'undeclared']) {
    await write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' }))
    await write(`node_modules/${name}/index.js`, '')
  }
  const options = { ...config.options, baseDir: repository, ruleSet: { forbidden: config.forbidden }, validate: true }
  const { output } = await cruise(['packages'], options, config.options.enhancedResolveOptions as object)
  if (typeof output === 'string') throw new TypeError(output)
  found = output
})
afterAll(() => rm(repository, { recursive: true }))

function importOf(name: string): string {
  return name.startsWith('type ') ? `import type { x } from '${name.slice('type '.length)}'\n` : `import '${name}'\n`
}

const packageNames: Readonly<Record<string, string>> = {
  comity: 'comity',
  contract: '@comity/contract',
  cli: '@comity/cli',
  console: '@comity/console',
  nats: '@comity/nats',
  nestjs: '@comity/nestjs',
  'google-pubsub': '@comity/google-pubsub',
  'embedded-postgres': '@comity/embedded-postgres',
}

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(repository, path)), { recursive: true })
  await writeFile(join(repository, path), text)
}

/** The exports are the real ones, where the package exists: so the test also shows that the rules see through package names. */
async function writePackage(folder: string, name: string): Promise<void> {
  const real = await readFile(new URL(`packages/${folder}/package.json`, root), 'utf8').then(
    (text) => JSON.parse(text) as Record<string, unknown>,
    () => ({}) as Record<string, unknown>,
  )
  const exports = real.exports ?? { '.': { '@comity/source': './src/index.ts' } }
  const dependencies = { orm: '1', comity: '1', '@comity/contract': '1', '@comity/cli': '1' }
  await write(
    `packages/${folder}/package.json`,
    JSON.stringify({ name, type: 'module', exports, dependencies, devDependencies: { tool: '1' } }),
  )
  await mkdir(join(repository, 'node_modules', dirname(name)), { recursive: true })
  await symlink(join(repository, 'packages', folder), join(repository, 'node_modules', name))
}

const rules = config.forbidden as readonly (IForbiddenRuleType & { name: string; comment?: string })[]
const violationsIn = (file: string): string[] => found.summary.violations.filter(({ from }) => from === file).map(({ rule }) => rule.name)

describe('each rule of .dependency-cruiser.cjs', () => {
  test('has an example here, and says why it is there', () => {
    expect(Object.keys(violations).sort()).toEqual(rules.map(({ name }) => name).sort())
    for (const { name, comment } of rules) expect(comment?.length, name).toBeGreaterThan(30)
  })

  test.each(Object.entries(violations))('%s finds its violation', (name, files) => {
    expect(Object.keys(files).flatMap(violationsIn)).toContain(name)
  })

  test.each(Object.keys(allowed))('no rule objects to %s', (file) => {
    expect(violationsIn(file)).toEqual([])
  })
})

test('every folder of the engine has its row in the table', async () => {
  const entries = await readdir(new URL('packages/comity/src', root), { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory() && entry.name !== 'testing').map(({ name }) => name)
  expect(folders.filter((folder) => !rules.some(({ name }) => name === `layer-${folder}`))).toEqual([])
})
